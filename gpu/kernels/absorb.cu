// absorb: sums of monomials times columns, over the rows of each unit.
//
//   sums[u, a, c] = Σ_j φ_a(x_j) columns[j, c],    |φ_a| where ABSOLUTE
//
// x (heads b, D), columns (heads b, width), of which C from `offset` on, table (k, G) -> partial (units, parts GROUPS, k, C)
// in double, whose sum over the parts is taken by the caller, always in the same order.
//
// Tiling. A thread owns F monomials and all C columns of them: F C sums in registers. A block walks the rows of its
// part, TILE at a time in shared memory; its threads are GROUPS groups, each with every GROUPS-th row. At most STEP rows
// are added up in T; then the sums are added to those in double, and begin again.
//
// Cost for each row and monomial: C fused multiply-adds and G − 1 products; G words of shared memory, and the columns
// once for F monomials. Bound by arithmetic where F C is large. Rows pass through device memory once for each tile of
// monomials.

extern "C" __global__ void __launch_bounds__(THREADS)
absorb(const T* x, const T* columns, const unsigned short* table, double* partial,
       Size b, Size L, Size segments, Size parts, Size tiles, Size k, Size width, Size offset)
{
    __shared__ T xs[TILE][D + 1];
    __shared__ __align__(16) T cs[TILE][PADDED(C)];

    const Size tile = blockIdx.x % tiles, part = blockIdx.x / tiles % parts, unit = blockIdx.x / tiles / parts;
    const Rows rows = rows_of(unit, segments, b, L);
    const Size each = (rows.count + parts - 1) / parts, first = part * each;
    const Size last = first + each < rows.count ? first + each : rows.count;

    const int group = threadIdx.x / SLOTS;
    const Size monomial = (tile * SLOTS + threadIdx.x % SLOTS) * F;
    int index[F][G];
    for (int f = 0; f < F; f++)
        for (int g = 0; g < G; g++)
            index[f][g] = monomial + f < k ? table[(monomial + f) * G + g] : D;

    double* total = partial + (((unit * parts + part) * GROUPS + group) * k + monomial) * C;
    T sums[F][C] = {};
    int added = 0;
    bool begun = false;

    for (Size start = first; start < last; start += TILE) {
        const int count = last - start < TILE ? last - start : TILE;
        __syncthreads();
        for (int i = threadIdx.x; i < count * (D + 1); i += THREADS) {
            const int j = i / (D + 1), v = i % (D + 1);
            const T entry = v < D ? x[(rows.first + start + j) * D + v] : T(1);
            xs[j][v] = ABSOLUTE && entry < 0 ? -entry : entry;
        }
        for (int i = threadIdx.x; i < count * C; i += THREADS)
            cs[i / C][i % C] = columns[(rows.first + start + i / C) * width + offset + i % C];
        __syncthreads();
        for (int j = group; j < count; j += GROUPS) {
#pragma unroll
            for (int f = 0; f < F; f++) {
                T phi = xs[j][index[f][0]];
#pragma unroll
                for (int g = 1; g < G; g++)
                    phi *= xs[j][index[f][g]];
#pragma unroll
                for (int c = 0; c < C; c++)
                    sums[f][c] += phi * cs[j][c];
            }
        }
        added += TILE;
        if (added + TILE > STEP || start + TILE >= last) {
#pragma unroll
            for (int f = 0; f < F; f++) {
#pragma unroll
                for (int c = 0; c < C; c++) {
                    if (monomial + f < k)
                        total[f * C + c] = (begun ? total[f * C + c] : 0.0) + sums[f][c];
                    sums[f][c] = 0;
                }
            }
            begun = true;
            added = 0;
        }
    }
    if (!begun)  // a part without rows
        for (int i = 0; i < F * C; i++)
            if (monomial + i / C < k)
                total[i] = 0.0;
}
