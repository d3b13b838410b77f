// read: what each row reads from the sums of its unit.
//
//   found[i, c] = Σ_a φ_a(x_i) sums[u(i), a, c],    |φ_a| where ABSOLUTE
//
// x (heads b, D), sums (units, k, width), of which C columns from `offset` on, table (k, G) -> found (heads b, width).
//
// Tiling. A thread owns R rows, THREADS apart, and all C columns of them: R C sums in registers. The rows lie in shared
// memory, one variable after the other; the sums pass through it MONOMIALS at a time, and are the same for all threads.
//
// Cost for each row and monomial: C fused multiply-adds and G − 1 products, G words of shared memory, and the sums once
// for R rows. Bound by arithmetic where R C is large.

extern "C" __global__ void __launch_bounds__(THREADS)
read(const T* x, const T* sums, const unsigned short* table, T* found,
     Size b, Size L, Size segments, Size blocks, Size k, Size width, Size offset)
{
    __shared__ T xs[D + 1][R * THREADS];
    __shared__ __align__(16) T ss[MONOMIALS][PADDED(C)];
    __shared__ unsigned short ts[MONOMIALS][G];

    const Size unit = blockIdx.x / blocks, first = blockIdx.x % blocks * R * THREADS;
    const Rows rows = rows_of(unit, segments, b, L);
    const int count = rows.count - first < R * THREADS ? rows.count - first : R * THREADS;  // perhaps none
    for (int i = threadIdx.x; i < R * THREADS * (D + 1); i += THREADS) {
        const int j = i / (D + 1), v = i % (D + 1);
        const T entry = v == D ? T(1) : j < count ? x[(rows.first + first + j) * D + v] : T(0);
        xs[v][j] = ABSOLUTE && entry < 0 ? -entry : entry;
    }

    T own[R][C] = {};
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
                T phi = xs[ts[a][0]][j];
#pragma unroll
                for (int g = 1; g < G; g++)
                    phi *= xs[ts[a][g]][j];
#pragma unroll
                for (int c = 0; c < C; c++)
                    own[r][c] += phi * ss[a][c];
            }
        }
    }
    for (int r = 0; r < R; r++) {
        const int j = threadIdx.x + r * THREADS;
        if (j < count)
            for (int c = 0; c < C; c++)
                found[(rows.first + first + j) * width + offset + c] = own[r][c];
    }
}
