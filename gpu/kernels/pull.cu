// pull: the gradient on each row of its monomials' sum, weighted by the sums of its unit and by its own factor.
//
//   pulled[i, v] += ∂/∂x_iv Σ_a φ_a(x_i) ⟨sums[u(i), a, :], factor[i, :]⟩,    factor held fixed
//
// x (heads b, D), factor (heads b, width) and sums (units, k, width), of which C columns from `offset` on, table (k, G)
// -> pulled (heads b, D), to which it is added: the sum is linear in the columns.
//
// Tiling. As in `read`: a thread owns R rows, with their C factors in registers; the gradient lies in shared memory
// beside the rows, each column of it written by one thread only. Each of a monomial's G entries gets the product of the
// others times the weight, by products from the front and from the back; what the 1 gets is dropped.
//
// Cost for each row and monomial: C fused multiply-adds, and about 3 G products and 3 G words of shared memory, which is
// what bounds it.

extern "C" __global__ void __launch_bounds__(THREADS)
pull(const T* x, const T* factor, const T* sums, const unsigned short* table, T* pulled,
     Size b, Size L, Size segments, Size blocks, Size k, Size width, Size offset)
{
    __shared__ T xs[D + 1][R * THREADS], ds[D + 1][R * THREADS];
    __shared__ __align__(16) T ss[MONOMIALS][PADDED(C)];
    __shared__ unsigned short ts[MONOMIALS][G];

    const Size unit = blockIdx.x / blocks, first = blockIdx.x % blocks * R * THREADS;
    const Rows rows = rows_of(unit, segments, b, L);
    const int count = rows.count - first < R * THREADS ? rows.count - first : R * THREADS;  // perhaps none
    for (int i = threadIdx.x; i < R * THREADS * (D + 1); i += THREADS) {
        const int j = i / (D + 1), v = i % (D + 1);
        xs[v][j] = v == D ? T(1) : j < count ? x[(rows.first + first + j) * D + v] : T(0);
        ds[v][j] = 0;
    }
    T own[R][C];
    for (int r = 0; r < R; r++) {
        const int j = threadIdx.x + r * THREADS;
        for (int c = 0; c < C; c++)
            own[r][c] = j < count ? factor[(rows.first + first + j) * width + offset + c] : T(0);
    }

    for (Size start = 0; start < k; start += MONOMIALS) {
        const int some = k - start < MONOMIALS ? k - start : MONOMIALS;
        __syncthreads();
        for (int i = threadIdx.x; i < some * C; i += THREADS)
            ss[i / C][i % C] = sums[(unit * k + start + i / C) * width + offset + i % C];
        for (int i = threadIdx.x; i < some * G; i += THREADS)
            ts[i / G][i % G] = table[start * G + i];
        __syncthreads();
        for (int a = 0; a < some; a++) {
#pragma unroll
            for (int r = 0; r < R; r++) {
                const int j = threadIdx.x + r * THREADS;
                T weight = 0, entry[G], before[G];
#pragma unroll
                for (int c = 0; c < C; c++)
                    weight += ss[a][c] * own[r][c];
#pragma unroll
                for (int g = 0; g < G; g++) {
                    entry[g] = xs[ts[a][g]][j];
                    before[g] = weight;
                    weight *= entry[g];
                }
                T after = 1;
#pragma unroll
                for (int g = G - 1; g >= 0; g--) {
                    ds[ts[a][g]][j] += before[g] * after;
                    after *= entry[g];
                }
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < count * D; i += THREADS)
        pulled[(rows.first + first) * D + i] += ds[i % D][i / D];
}
