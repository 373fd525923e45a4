/* Multiresolution hash encoding on a CPU: values, table gradient, position gradient.
 *
 * The same sums as interpolate_torch in hash_encoding.py, which is the reference and says what the
 * arguments mean.
 *
 * Plain C11 with vector extensions of gcc and clang; compiled_kernel.py builds it at first use.
 */
#include <stdint.h>
#include <string.h>

#include "tasks.h"

#define BATCH 64    /* points whose rows are found before any is read */
#define BLOCK 1024  /* points of one task */

typedef struct {
    const float *positions; /* (points, 3) */
    const float *table;     /* (rows, features) */
    const float *gradient;  /* (points, levels * features) */
    float *result;
    const int64_t *offsets;     /* (levels,) first row of each level */
    const int32_t *resolutions; /* (levels,) */
    const uint8_t *dense;       /* (levels,) */
    int64_t points;
    uint32_t mask; /* entries of a hashed level, less one: a power of two less one */
    int levels, features, work;
} Job;

enum { VALUES = 0, TABLE_GRADIENT = 1, POSITION_GRADIENT = 2 };

/* Eight lanes, one for each corner; compilers split them where the machine has fewer. */
typedef uint32_t rows8 __attribute__((vector_size(32)));
typedef float floats8 __attribute__((vector_size(32)));
typedef float floats4 __attribute__((vector_size(16), aligned(4), may_alias));

typedef struct {
    rows8 row[BATCH];
    floats8 weight[BATCH];
    float fraction[3][BATCH];
} Corners;

/* Rows and weights of the eight corners, the bits of whose number are x, y, z. */
static inline __attribute__((always_inline)) void find_corners(
    const Job *job, int level, int64_t start, int count, Corners *found)
{
    const rows8 is_x = {0, 1, 0, 1, 0, 1, 0, 1};
    const rows8 is_y = {0, 0, 1, 1, 0, 0, 1, 1};
    const rows8 is_z = {0, 0, 0, 0, 1, 1, 1, 1};
    const floats8 at_x = {1, 0, 1, 0, 1, 0, 1, 0}, along_x = {-1, 1, -1, 1, -1, 1, -1, 1};
    const floats8 at_y = {1, 1, 0, 0, 1, 1, 0, 0}, along_y = {-1, -1, 1, 1, -1, -1, 1, 1};
    const floats8 at_z = {1, 1, 1, 1, 0, 0, 0, 0}, along_z = {-1, -1, -1, -1, 1, 1, 1, 1};
    const int resolution = job->resolutions[level];
    const float scale = (float)resolution;
    uint32_t cell[3][BATCH];
    for (int axis = 0; axis < 3; axis++)
        for (int i = 0; i < count; i++) {
            const float given = job->positions[(start + i) * 3 + axis];
            /* Comparisons that are false for NaN, which must not become a row. */
            float inside = given > 0.0f ? given : 0.0f;
            inside = inside < 1.0f ? inside : 1.0f;
            const float scaled = inside * scale;
            int32_t corner = (int32_t)scaled;
            corner = corner < resolution - 1 ? corner : resolution - 1;
            const float fraction = scaled - (float)corner;
            cell[axis][i] = (uint32_t)corner;
            found->fraction[axis][i] = given == given ? fraction : given;
        }
    if (job->dense[level]) {
        const uint32_t y = (uint32_t)resolution + 1, z = y * y;
        const rows8 step = is_x + is_y * y + is_z * z;
        for (int i = 0; i < count; i++)
            found->row[i] = step + (cell[0][i] + cell[1][i] * y + cell[2][i] * z);
    } else {
        const uint32_t prime_y = 2654435761u, prime_z = 805459861u;
        const rows8 step_y = is_y * prime_y, step_z = is_z * prime_z;
        for (int i = 0; i < count; i++)
            found->row[i] = ((is_x + cell[0][i]) ^ (step_y + cell[1][i] * prime_y) ^
                             (step_z + cell[2][i] * prime_z)) & job->mask;
    }
    for (int i = 0; i < count; i++)
        found->weight[i] = (at_y + along_y * found->fraction[1][i]) *
                           (at_z + along_z * found->fraction[2][i]) *
                           (at_x + along_x * found->fraction[0][i]);
}

/* Ask for rows before they are needed: the finest levels are in no nearby cache. */
static inline __attribute__((always_inline)) void prefetch(
    const float *table, const Corners *found, int count, const int features)
{
    for (int i = 0; i < count; i++)
        for (int corner = 0; corner < 8; corner++)
            __builtin_prefetch(table + (int64_t)found->row[i][corner] * features);
}

/* sum += weight * entry */
static inline __attribute__((always_inline)) void add_scaled(
    float *sum, const float *entry, float weight, const int features)
{
    int f = 0;
    for (; f + 4 <= features; f += 4)
        *(floats4 *)(sum + f) += *(const floats4 *)(entry + f) * weight;
    for (; f < features; f++) sum[f] += weight * entry[f];
}

static inline __attribute__((always_inline)) float dot(
    const float *a, const float *b, const int features)
{
    floats4 four = {0, 0, 0, 0};
    float sum = 0.0f;
    int f = 0;
    for (; f + 4 <= features; f += 4) four += *(const floats4 *)(a + f) * *(const floats4 *)(b + f);
    for (; f < features; f++) sum += a[f] * b[f];
    return sum + ((four[0] + four[1]) + (four[2] + four[3]));
}

static inline int smaller(int64_t a, int b) { return a < b ? (int)a : b; }

static inline __attribute__((always_inline)) void values(
    const Job *job, int task, const int features)
{
    Corners found;
    const int64_t first = (int64_t)task * BLOCK;
    const int64_t end = first + smaller(job->points - first, BLOCK);
    const int64_t width = (int64_t)job->levels * features;
    for (int level = 0; level < job->levels; level++) {
        const float *table = job->table + job->offsets[level] * features;
        for (int64_t start = first; start < end; start += BATCH) {
            const int count = smaller(end - start, BATCH);
            find_corners(job, level, start, count, &found);
            prefetch(table, &found, count, features);
            float *out = job->result + start * width + (int64_t)level * features;
            for (int i = 0; i < count; i++, out += width) {
                float sum[features];
                for (int f = 0; f < features; f++) sum[f] = 0.0f;
                for (int corner = 0; corner < 8; corner++)
                    add_scaled(sum, table + (int64_t)found.row[i][corner] * features,
                               found.weight[i][corner], features);
                for (int f = 0; f < features; f++) out[f] = sum[f];
            }
        }
    }
}

/* One task owns one level: no two add to the same row, and points are added in their order. */
static inline __attribute__((always_inline)) void table_gradient(
    const Job *job, int task, const int features)
{
    Corners found;
    const int level = job->levels - 1 - task; /* the finest, which take longest, first */
    const int64_t width = (int64_t)job->levels * features;
    float *table = job->result + job->offsets[level] * features;
    memset(table, 0, (size_t)(job->offsets[level + 1] - job->offsets[level]) * features * 4);
    for (int64_t start = 0; start < job->points; start += BATCH) {
        const int count = smaller(job->points - start, BATCH);
        find_corners(job, level, start, count, &found);
        prefetch(table, &found, count, features);
        const float *gradient = job->gradient + start * width + (int64_t)level * features;
        for (int i = 0; i < count; i++, gradient += width) {
            float own[features];
            for (int f = 0; f < features; f++) own[f] = gradient[f];
            for (int corner = 0; corner < 8; corner++)
                add_scaled(table + (int64_t)found.row[i][corner] * features, own,
                           found.weight[i][corner], features);
        }
    }
}

static inline __attribute__((always_inline)) void position_gradient(
    const Job *job, int task, const int features)
{
    Corners found;
    float total[3][BATCH];
    const int64_t first = (int64_t)task * BLOCK;
    const int64_t end = first + smaller(job->points - first, BLOCK);
    const int64_t width = (int64_t)job->levels * features;
    for (int64_t start = first; start < end; start += BATCH) {
        const int count = smaller(end - start, BATCH);
        memset(total, 0, sizeof total);
        for (int level = 0; level < job->levels; level++) {
            const float *table = job->table + job->offsets[level] * features;
            const float scale = (float)job->resolutions[level];
            find_corners(job, level, start, count, &found);
            prefetch(table, &found, count, features);
            const float *gradient = job->gradient + start * width + (int64_t)level * features;
            for (int i = 0; i < count; i++, gradient += width) {
                const float x1 = found.fraction[0][i], y1 = found.fraction[1][i];
                const float z1 = found.fraction[2][i];
                const float side[3][2] = {{1.0f - x1, x1}, {1.0f - y1, y1}, {1.0f - z1, z1}};
                float slope[3] = {0.0f, 0.0f, 0.0f};
                for (int corner = 0; corner < 8; corner++) {
                    const float *entry = table + (int64_t)found.row[i][corner] * features;
                    const int x = corner & 1, y = corner >> 1 & 1, z = corner >> 2;
                    const float along = dot(entry, gradient, features);
                    slope[0] += (x ? along : -along) * (side[1][y] * side[2][z]);
                    slope[1] += (y ? along : -along) * (side[0][x] * side[2][z]);
                    slope[2] += (z ? along : -along) * (side[0][x] * side[1][y]);
                }
                for (int axis = 0; axis < 3; axis++) total[axis][i] += slope[axis] * scale;
            }
        }
        for (int i = 0; i < count; i++)
            for (int axis = 0; axis < 3; axis++) {
                const int64_t place = (start + i) * 3 + axis;
                const float given = job->positions[place];
                job->result[place] = given >= 0.0f && given <= 1.0f ? total[axis][i] : 0.0f;
            }
    }
}

/* The usual numbers of features as constants, so that the compiler unrolls the inner loops. */
#define WITH_FEATURES(function, job, task)                                  \
    switch ((job)->features) {                                              \
    case 1: function(job, task, 1); break;                                  \
    case 2: function(job, task, 2); break;                                  \
    case 4: function(job, task, 4); break;                                  \
    case 8: function(job, task, 8); break;                                  \
    default: function(job, task, (job)->features);                          \
    }

static void run_task(void *given, int task, int worker)
{
    (void)worker;
    const Job *job = given;
    switch (job->work) {
    case VALUES: WITH_FEATURES(values, job, task); break;
    case TABLE_GRADIENT: WITH_FEATURES(table_gradient, job, task); break;
    default: WITH_FEATURES(position_gradient, job, task);
    }
}

/* `offsets` has one more entry than there are levels; `gradient` is not read for values. */
void dff_hash_encoding(
    int work, const float *positions, const float *table, const float *gradient, float *result,
    const int64_t *offsets, const int32_t *resolutions, const uint8_t *dense, int64_t points,
    uint32_t mask, int levels, int features, int threads)
{
    Job job = {positions, table, gradient, result, offsets, resolutions, dense, points,
               mask, levels, features, work};
    const int tasks = work == TABLE_GRADIENT ? levels : (int)((points + BLOCK - 1) / BLOCK);
    run_tasks(run_task, &job, tasks, points < BLOCK ? 1 : threads);
}
