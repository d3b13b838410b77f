// near_read: the pairs within a unit under the mask, written out.
//
//   found[i, c] = Σ_j P(⟨x_i, y_j⟩) columns[j, c],    j ≤ i within the unit, or j ≥ i where REVERSE;
//                 P(⟨|x_i|, |y_j|⟩) where ABSOLUTE
//
// x, y (heads b, D), columns (heads b, width), of which C from `offset` on, coefficients (G + 1)
// -> found (heads b, width).
//
// Tiling. A thread owns a row x_i and its C sums in registers; rows y_j and their columns pass through shared memory,
// TILE at a time, and are the same for all threads. P is evaluated by Horner's rule. Tiles that the mask hides from all
// rows of a block are not read.
//
// Cost for each pair: D + G + C fused multiply-adds; half of the pairs of a unit are hidden.

extern "C" __global__ void __launch_bounds__(THREADS)
near_read(const T* x, const T* y, const T* columns, const T* coefficients, T* found,
          Size b, Size L, Size segments, Size blocks, Size width, Size offset)
{
    __shared__ __align__(16) T ys[TILE][PADDED(D)];
    __shared__ __align__(16) T cs[TILE][PADDED(C)];

    const Size unit = blockIdx.x / blocks, first = blockIdx.x % blocks * THREADS;
    const Rows rows = rows_of(unit, segments, b, L);
    const Size i = first + threadIdx.x;
    T own[D], sums[C] = {};
    for (int v = 0; v < D; v++) {
        const T entry = i < rows.count ? x[(rows.first + i) * D + v] : T(0);
        own[v] = ABSOLUTE && entry < 0 ? -entry : entry;
    }

    T polynomial[G + 1];
    for (int g = 0; g <= G; g++)
        polynomial[g] = coefficients[g];

    const Size end = first + THREADS < rows.count ? first + THREADS : rows.count;
    for (Size start = REVERSE ? first : 0; start < (REVERSE ? rows.count : end); start += TILE) {
        const int count = rows.count - start < TILE ? rows.count - start : TILE;
        __syncthreads();
        for (int j = threadIdx.x; j < count * D; j += THREADS) {
            const T entry = y[(rows.first + start) * D + j];
            ys[j / D][j % D] = ABSOLUTE && entry < 0 ? -entry : entry;
        }
        for (int j = threadIdx.x; j < count * C; j += THREADS)
            cs[j / C][j % C] = columns[(rows.first + start + j / C) * width + offset + j % C];
        __syncthreads();
        for (int j = 0; j < count; j++) {
            T score = 0;
#pragma unroll
            for (int v = 0; v < D; v++)
                score += own[v] * ys[j][v];
            T value = polynomial[G];
#pragma unroll
            for (int g = G - 1; g >= 0; g--)
                value = value * score + polynomial[g];
            if (REVERSE ? start + j < i : start + j > i)
                value = 0;
#pragma unroll
            for (int c = 0; c < C; c++)
                sums[c] += value * cs[j][c];
        }
    }
    if (i < rows.count)
        for (int c = 0; c < C; c++)
            found[(rows.first + i) * width + offset + c] = sums[c];
}
