// near_read: the pairs within a unit under the mask, written out.
//
//   found[i, c] = Σ_j P(⟨x_i, y_j⟩) columns[j, c],    j ≤ i within the unit, or j ≥ i where REVERSE;
//                 P(⟨|x_i|, |y_j|⟩) where ABSOLUTE
//
// x, y (heads b, D), columns (heads b, width), of which C from `offset` on, coefficients (G + 1)
// -> found (heads b, width).
//
// Tiling. A thread owns R rows x_i, THREADS apart, and their C sums in registers; rows y_j and their columns pass through
// shared memory, TILE at a time, and are the same for all threads. P is evaluated by Horner's rule. Rows that the mask
// hides from all threads of a warp cost it a comparison; tiles that it hides from a block are not read.
//
// Cost for each pair: D + G + C fused multiply-adds, and y_j and its columns from shared memory once for R rows; half of
// the pairs of a unit are hidden. Bound by arithmetic where R is 2 or more.

enum { ROWS = R * THREADS };
static_assert(TILE * (sizeof(Vector<D>) + sizeof(Vector<C>)) <= SHARED, "shared memory");
static_assert(ROWS * LARGER(ODD_D, ODD_C) * sizeof(T) <= SHARED, "shared memory");

extern "C" __global__ void __launch_bounds__(THREADS)
near_read(const T* x, const T* y, const T* columns, const T* coefficients, T* found,
          Size b, Size L, Size segments, Size blocks, Size width, Size offset)
{
    Vector<D>* ys = (Vector<D>*)shared;
    Vector<C>* cs = (Vector<C>*)(ys + TILE);
    T* staged = (T*)shared;  // what goes to and from registers

    const Size unit = blockIdx.x / blocks, first = blockIdx.x % blocks * ROWS;
    const Rows rows = rows_of(unit, segments, b, L);
    const int count = rows.count - first < ROWS ? rows.count - first : ROWS;  // perhaps none
    const int mine = threadIdx.x * ODD_D;
    fetch<D, ABSOLUTE>(staged, ODD_D, x + (rows.first + first) * D, D, count, ROWS);
    __syncthreads();
    T own[R][D], sums[R][C] = {};
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll UNROLLED
        for (int v = 0; v < D; v++)
            own[r][v] = staged[mine + r * THREADS * ODD_D + v];

    T polynomial[G + 1];
#pragma unroll
    for (int g = 0; g <= G; g++)
        polynomial[g] = coefficients[g];

    const Size end = first + ROWS < rows.count ? first + ROWS : rows.count;
    for (Size start = REVERSE ? first : 0; start < (REVERSE ? rows.count : end); start += TILE) {
        const int some = rows.count - start < TILE ? rows.count - start : TILE;
        const int ahead = first - start + threadIdx.x;  // of the tile's first row
        __syncthreads();
        fetch<D, ABSOLUTE>(ys->at, PITCH_D, y + (rows.first + start) * D, D, some, some);
        fetch<C>(cs->at, PITCH_C, columns + (rows.first + start) * width + offset, width, some, some);
        __syncthreads();
#pragma unroll 1
        for (int j = 0; j < some; j++) {
            const Vector<D> other = ys[j];
            const Vector<C> column = cs[j];
#pragma unroll
            for (int r = 0; r < R; r++) {
                const int i = threadIdx.x + r * THREADS, place = ahead + r * THREADS;
                if (i >= count || (REVERSE ? j < place : j > place))
                    continue;
                T score = 0;
#pragma unroll UNROLLED
                for (int v = 0; v < D; v++)
                    score += own[r][v] * other.at[v];
                T value = polynomial[G];
#pragma unroll
                for (int g = G - 1; g >= 0; g--)
                    value = value * score + polynomial[g];
#pragma unroll
                for (int c = 0; c < C; c++)
                    sums[r][c] += value * column.at[c];
            }
        }
    }

    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++)
            staged[(threadIdx.x + r * THREADS) * ODD_C + c] = sums[r][c];
    __syncthreads();
    store<C>(found + (rows.first + first) * width + offset, width, staged, ODD_C, count);
}
