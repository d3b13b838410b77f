// near_pull: what the pairs within a unit add to the gradient under the mask, written out.
//
//   pulled[i, v] += Σ_j R(⟨x_i, y_j⟩) ⟨x_factor_i, y_factor_j⟩ y_jv,    j ≤ i within the unit, or j ≥ i where REVERSE
//
// x, y (heads b, D), factors (heads b, width), of which C from `offset` on, slope (G + 1): the coefficients of R
// -> pulled (heads b, D), to which it is added: the sum is linear in the columns.
//
// Tiling. As in `near_read`: a thread owns a row x_i, its factor and its gradient in registers.
//
// Cost for each pair: 2 D + G + C fused multiply-adds; half of the pairs of a unit are hidden.

extern "C" __global__ void __launch_bounds__(THREADS)
near_pull(const T* x, const T* y, const T* x_factor, const T* y_factor, const T* slope, T* pulled,
          Size b, Size L, Size segments, Size blocks, Size width, Size offset)
{
    __shared__ __align__(16) T ys[TILE][PADDED(D)];
    __shared__ __align__(16) T cs[TILE][PADDED(C)];

    const Size unit = blockIdx.x / blocks, first = blockIdx.x % blocks * THREADS;
    const Rows rows = rows_of(unit, segments, b, L);
    const Size i = first + threadIdx.x;
    T own[D], factor[C], sums[D] = {};
    for (int v = 0; v < D; v++)
        own[v] = i < rows.count ? x[(rows.first + i) * D + v] : T(0);
    for (int c = 0; c < C; c++)
        factor[c] = i < rows.count ? x_factor[(rows.first + i) * width + offset + c] : T(0);

    T polynomial[G + 1];
    for (int g = 0; g <= G; g++)
        polynomial[g] = slope[g];

    const Size end = first + THREADS < rows.count ? first + THREADS : rows.count;
    for (Size start = REVERSE ? first : 0; start < (REVERSE ? rows.count : end); start += TILE) {
        const int count = rows.count - start < TILE ? rows.count - start : TILE;
        __syncthreads();
        for (int j = threadIdx.x; j < count * D; j += THREADS)
            ys[j / D][j % D] = y[(rows.first + start) * D + j];
        for (int j = threadIdx.x; j < count * C; j += THREADS)
            cs[j / C][j % C] = y_factor[(rows.first + start + j / C) * width + offset + j % C];
        __syncthreads();
        for (int j = 0; j < count; j++) {
            T score = 0, both = 0;
#pragma unroll
            for (int v = 0; v < D; v++)
                score += own[v] * ys[j][v];
#pragma unroll
            for (int c = 0; c < C; c++)
                both += factor[c] * cs[j][c];
            T value = polynomial[G];
#pragma unroll
            for (int g = G - 1; g >= 0; g--)
                value = value * score + polynomial[g];
            value = (REVERSE ? start + j < i : start + j > i) ? T(0) : value * both;
#pragma unroll
            for (int v = 0; v < D; v++)
                sums[v] += value * ys[j][v];
        }
    }
    if (i < rows.count)
        for (int v = 0; v < D; v++)
            pulled[(rows.first + i) * D + v] += sums[v];
}
