// pull: the gradient on each row of its monomials' sum, weighted by the sums of its unit and by its own factor.
//
//   pulled[i, v] += ∂/∂x_iv Σ_a φ_a(x_i) ⟨sums[u(i), a, :], factor[i, :]⟩,    factor held fixed
//
// x (heads b, D), factor (heads b, width) and sums (units, k, width), of which C columns from `offset` on, runs and starts
// (`device.runs`) -> pulled (heads b, D), to which it is added: the sum is linear in the columns.
//
// Tiling. As in `read`: a thread owns R rows, with their C factors in registers; the gradient lies in shared memory
// beside the rows, each row of it written by one thread only. Of a run, x_v p for successive v with weights w_v, p gets
// Σ_v w_v x_v and hands it on to its factors, once for the run. What the 1 gets is dropped.
//
// Cost for each row and monomial: C + 2 fused multiply-adds, three words of shared memory, the sums once for R rows, and
// about 3 G products and 3 G words once for a run. Bound by arithmetic and shared memory about alike.

enum { ROWS = R * THREADS };
static_assert(MONOMIALS * sizeof(Vector<C>) + ROWS * (LARGER(PITCH, ODD_C) + PITCH) * sizeof(T) <= SHARED, "shared memory");

extern "C" __global__ void __launch_bounds__(THREADS)
pull(const T* x, const T* factor, const T* sums, const int* runs, const int* starts, T* pulled,
     Size b, Size L, Size segments, Size blocks, Size k, Size width, Size offset)
{
    Vector<C>* ss = (Vector<C>*)shared;
    T* ds = (T*)(ss + MONOMIALS);
    T* xs = ds + ROWS * PITCH;  // first the factors, then the rows

    const Size unit = blockIdx.x / blocks, first = blockIdx.x % blocks * ROWS;
    const Rows rows = rows_of(unit, segments, b, L);
    const int count = rows.count - first < ROWS ? rows.count - first : ROWS;  // perhaps none
    fetch<C>(xs, ODD_C, factor + (rows.first + first) * width + offset, width, count, ROWS);
    for (int i = threadIdx.x; i < ROWS * PITCH; i += THREADS)
        ds[i] = 0;
    __syncthreads();
    T own[R][C];
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++)
            own[r][c] = xs[(threadIdx.x + r * THREADS) * ODD_C + c];
    __syncthreads();
    fetch_with_one(xs, x + (rows.first + first) * D, count, ROWS);

    const T* mine = xs + threadIdx.x * PITCH;
    T* gradient = ds + threadIdx.x * PITCH;
    for (Size start = 0; start < k; start += MONOMIALS, starts++) {
        const int some = k - start < MONOMIALS ? k - start : MONOMIALS;
        __syncthreads();
        fetch<C>(ss->at, PITCH_C, sums + (unit * k + start) * width + offset, width, some, some);
        __syncthreads();
        for (const int* run = runs + starts[0] * (G + 2); run < runs + starts[1] * (G + 2); run += G + 2) {
            T common[R][G], slope[R] = {};  // products of the first of the common factors; what their product gets
#pragma unroll
            for (int r = 0; r < R; r++) {
                common[r][0] = 1;
#pragma unroll
                for (int g = 1; g < G; g++)
                    common[r][g] = common[r][g - 1] * mine[r * THREADS * PITCH + run[g + 2]];
            }
            const Vector<C>* sum = ss + run[0];
            int v = run[2];
#pragma unroll 1
            for (int a = run[1]; a > 0; a--, v++, sum++) {
                const Vector<C> one = *sum;
#pragma unroll
                for (int r = 0; r < R; r++) {
                    T weight = 0;
#pragma unroll
                    for (int c = 0; c < C; c++)
                        weight += one.at[c] * own[r][c];
                    slope[r] += weight * mine[r * THREADS * PITCH + v];
                    gradient[r * THREADS * PITCH + v] += weight * common[r][G - 1];
                }
            }
#pragma unroll
            for (int g = G - 1; g > 0; g--) {
                const int u = run[g + 2];
#pragma unroll
                for (int r = 0; r < R; r++) {
                    gradient[r * THREADS * PITCH + u] += slope[r] * common[r][g - 1];
                    slope[r] *= mine[r * THREADS * PITCH + u];
                }
            }
        }
    }
    __syncthreads();
    store<D, true>(pulled + (rows.first + first) * D, D, ds, PITCH, count);
}
