// read: what each row reads from the sums of its unit.
//
//   found[i, c] = Σ_a φ_a(x_i) sums[u(i), a, c],    |φ_a| where ABSOLUTE
//
// x (heads b, D), sums (units, k, width), of which C columns from `offset` on, runs and starts (`device.runs`)
// -> found (heads b, width).
//
// Tiling. A thread owns R rows, THREADS apart, and all C columns of them: R C sums in registers. The rows lie in shared
// memory; the sums pass through it MONOMIALS at a time, and are the same for all threads. Monomials that differ in their
// first factor only, of successive variables, stand in a run: the product of the others is made once for the run.
//
// Cost for each row and monomial: C fused multiply-adds, one product, one word of shared memory, the sums once for R
// rows, and the common product once for a run. Bound by arithmetic where R C is large.

enum { ROWS = R * THREADS };
static_assert(MONOMIALS * sizeof(Vector<C>) + ROWS * LARGER(PITCH, ODD_C) * sizeof(T) <= SHARED, "shared memory");

extern "C" __global__ void __launch_bounds__(THREADS, 1)
read(const T* x, const T* sums, const int* runs, const int* starts, T* found,
     Size b, Size L, Size segments, Size blocks, Size k, Size width, Size offset)
{
    Vector<C>* ss = (Vector<C>*)shared;
    T* xs = (T*)(ss + MONOMIALS);  // the rows, and at last what they read

    const Size unit = blockIdx.x / blocks, first = blockIdx.x % blocks * ROWS;
    const Rows rows = rows_of(unit, segments, b, L);
    const int count = rows.count - first < ROWS ? rows.count - first : ROWS;  // perhaps none
    fetch_with_one<ABSOLUTE>(xs, x + (rows.first + first) * D, count, ROWS);

    const T* mine = xs + threadIdx.x * PITCH;
    T own[R][C] = {};
    for (Size start = 0; start < k; start += MONOMIALS, starts++) {
        const int some = k - start < MONOMIALS ? k - start : MONOMIALS;
        __syncthreads();
        fetch<C>(ss->at, PITCH_C, sums + (unit * k + start) * width + offset, width, some, some);
        __syncthreads();
        for (const int* run = runs + starts[0] * (G + 2); run < runs + starts[1] * (G + 2); run += G + 2) {
            T common[R];
#pragma unroll
            for (int r = 0; r < R; r++) {
                common[r] = 1;
#pragma unroll
                for (int g = 1; g < G; g++)
                    common[r] *= mine[r * THREADS * PITCH + run[g + 2]];
            }
            const T* entry = mine + run[2];
            const Vector<C>* sum = ss + run[0];
#pragma unroll 1
            for (int a = run[1]; a > 0; a--, entry++, sum++) {
                const Vector<C> factor = *sum;
#pragma unroll
                for (int r = 0; r < R; r++) {
                    const T phi = common[r] * entry[r * THREADS * PITCH];
#pragma unroll
                    for (int c = 0; c < C; c++)
                        own[r][c] += phi * factor.at[c];
                }
            }
        }
    }

    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int c = 0; c < C; c++)
            xs[(threadIdx.x + r * THREADS) * ODD_C + c] = own[r][c];
    __syncthreads();
    store<C>(found + (rows.first + first) * width + offset, width, xs, ODD_C, count);
}
