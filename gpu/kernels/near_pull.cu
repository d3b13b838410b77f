// near_pull: what the pairs within a unit add to the gradient under the mask, written out.
//
//   pulled[i, v] += Σ_j R(⟨x_i, y_j⟩) ⟨x_factor_i, y_factor_j⟩ y_jv,    j ≤ i within the unit, or j ≥ i where REVERSE
//
// x, y (heads b, D), factors (heads b, width), of which C from `offset` on, slope (G + 1): the coefficients of R
// -> pulled (heads b, D), to which it is added: the sum is linear in the columns.
//
// Tiling. As in `near_read`: a thread owns R rows x_i, their factors and their gradients in registers.
//
// Cost for each pair: 2 D + G + C fused multiply-adds, and y_j and its factor from shared memory once for R rows; half of
// the pairs of a unit are hidden. Bound by arithmetic where R is 2 or more.

enum { ROWS = R * THREADS };
static_assert(TILE * (sizeof(Vector<D>) + sizeof(Vector<C>)) <= SHARED, "shared memory");
static_assert(ROWS * LARGER(ODD_D, ODD_C) * sizeof(T) <= SHARED, "shared memory");

extern "C" __global__ void __launch_bounds__(THREADS)
near_pull(const T* x, const T* y, const T* x_factor, const T* y_factor, const T* slope, T* pulled,
          Size b, Size L, Size segments, Size blocks, Size width, Size offset)
{
    Vector<D>* ys = (Vector<D>*)shared;
    Vector<C>* cs = (Vector<C>*)(ys + TILE);
    T* staged = (T*)shared;  // what goes to and from registers

    const Size unit = blockIdx.x / blocks, first = blockIdx.x % blocks * ROWS;
    const Rows rows = rows_of(unit, segments, b, L);
    const int count = rows.count - first < ROWS ? rows.count - first : ROWS;  // perhaps none
    T own[R][D], factor[R][C], sums[R][D] = {};
    fetch<D>(staged, ODD_D, x + (rows.first + first) * D, D, count, ROWS);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll UNROLLED
        for (int v = 0; v < D; v++)
            own[r][v] = staged[(threadIdx.x + r * THREADS) * ODD_D + v];
    __syncthreads();
    fetch<C>(staged, ODD_C, x_factor + (rows.first + first) * width + offset, width, count, ROWS);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++)
            factor[r][c] = staged[(threadIdx.x + r * THREADS) * ODD_C + c];

    T polynomial[G + 1];
#pragma unroll
    for (int g = 0; g <= G; g++)
        polynomial[g] = slope[g];

    const Size end = first + ROWS < rows.count ? first + ROWS : rows.count;
    for (Size start = REVERSE ? first : 0; start < (REVERSE ? rows.count : end); start += TILE) {
        const int some = rows.count - start < TILE ? rows.count - start : TILE;
        const int ahead = first - start + threadIdx.x;  // of the tile's first row
        __syncthreads();
        fetch<D>(ys->at, PITCH_D, y + (rows.first + start) * D, D, some, some);
        fetch<C>(cs->at, PITCH_C, y_factor + (rows.first + start) * width + offset, width, some, some);
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
                T score = 0, both = 0;
#pragma unroll UNROLLED
                for (int v = 0; v < D; v++)
                    score += own[r][v] * other.at[v];
#pragma unroll
                for (int c = 0; c < C; c++)
                    both += factor[r][c] * column.at[c];
                T value = polynomial[G];
#pragma unroll
                for (int g = G - 1; g >= 0; g--)
                    value = value * score + polynomial[g];
                value *= both;
#pragma unroll UNROLLED
                for (int v = 0; v < D; v++)
                    sums[r][v] += value * other.at[v];
            }
        }
    }

    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll UNROLLED
        for (int v = 0; v < D; v++)
            staged[(threadIdx.x + r * THREADS) * ODD_D + v] = sums[r][v];
    __syncthreads();
    store<D, true>(pulled + (rows.first + first) * D, D, staged, ODD_D, count);
}
