// absorb: sums of monomials times columns, over the rows of each unit.
//
//   sums[u, a, c] = Σ_j φ_a(x_j) columns[j, c],    |φ_a| where ABSOLUTE
//
// x (heads b, D), columns (heads b, width), of which C from `offset` on, table (k, G) -> partial (units, parts, k, C) in
// double, whose sum over the parts is taken by the caller, always in the same order.
//
// Tiling. A thread owns F monomials, SLOTS apart, and all C columns of them: F C sums in registers. A block walks the
// rows of its part, GROUPS TILE at a time in shared memory; its threads are GROUPS groups, each with every GROUPS-th row.
// At most STEP rows are added up in T; then the groups add their sums to the block's, in double in shared memory, each
// group to other monomials at a time, in an order that only the monomial decides.
//
// Cost for each row and monomial: C fused multiply-adds and G − 1 products; G words of shared memory, and the columns
// once for F monomials. Bound by arithmetic where F C is large. Rows pass through device memory once for each tile of
// monomials.

enum { ROUNDS = LARGER(F, GROUPS), ROWS = GROUPS * TILE };
static_assert(ROWS * (sizeof(Vector<C>) + PITCH * sizeof(T)) + F * SLOTS * C * sizeof(double) <= SHARED, "shared memory");

extern "C" __global__ void __launch_bounds__(THREADS)
absorb(const T* x, const T* columns, const int* table, double* partial,
       Size b, Size L, Size segments, Size parts, Size tiles, Size k, Size width, Size offset)
{
    Vector<C>* cs = (Vector<C>*)shared;
    double* total = (double*)(cs + ROWS);  // (F SLOTS, C)
    T* xs = (T*)(total + F * SLOTS * C);

    const Size tile = blockIdx.x % tiles, part = blockIdx.x / tiles % parts, unit = blockIdx.x / tiles / parts;
    const Rows rows = rows_of(unit, segments, b, L);
    const Size each = (rows.count + parts - 1) / parts, first = part * each;
    const Size last = first + each < rows.count ? first + each : rows.count;

    const int group = threadIdx.x / SLOTS, slot = threadIdx.x % SLOTS;
    const Size monomials = tile * F * SLOTS;  // before those of the block
    int index[F][G];
#pragma unroll
    for (int f = 0; f < F; f++)
#pragma unroll
        for (int g = 0; g < G; g++) {
            const Size monomial = monomials + f * SLOTS + slot;
            index[f][g] = monomial < k ? table[monomial * G + g] : D;
        }
    for (int i = threadIdx.x; i < F * SLOTS * C; i += THREADS)
        total[i] = 0;

    T sums[F][C] = {};
    int added = 0;
    for (Size start = first; start < last; start += ROWS) {
        const int count = last - start < ROWS ? last - start : ROWS;
        __syncthreads();
        fetch_with_one<ABSOLUTE>(xs, x + (rows.first + start) * D, count, count);
        fetch<C>(cs->at, PITCH_C, columns + (rows.first + start) * width + offset, width, count, count);
        __syncthreads();
#pragma unroll 4
        for (int j = group; j < count; j += GROUPS) {
            const Vector<C> column = cs[j];
            const T* row = xs + j * PITCH;
#pragma unroll
            for (int f = 0; f < F; f++) {
                T phi = row[index[f][0]];
#pragma unroll
                for (int g = 1; g < G; g++)
                    phi *= row[index[f][g]];
#pragma unroll
                for (int c = 0; c < C; c++)
                    sums[f][c] += phi * column.at[c];
            }
        }
        added += TILE;
        if (added + TILE > STEP || start + ROWS >= last) {
#pragma unroll 1
            for (int round = 0; round < ROUNDS; round++) {
#pragma unroll
                for (int f = 0; f < F; f++)
                    if ((f + group) % ROUNDS == round)
#pragma unroll
                        for (int c = 0; c < C; c++) {
                            total[(f * SLOTS + slot) * C + c] += sums[f][c];
                            sums[f][c] = 0;
                        }
                __syncthreads();
            }
            added = 0;
        }
    }

    __syncthreads();
    const int some = k - monomials < F * SLOTS ? k - monomials : F * SLOTS;
    double* out = partial + ((unit * parts + part) * k + monomials) * C;
    for (int i = threadIdx.x; i < some * C; i += THREADS)
        out[i] = total[i];
}
