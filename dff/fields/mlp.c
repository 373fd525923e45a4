/* Small fully connected ReLU networks on a CPU: values and gradients.
 *
 * What torch does in one pass over memory for each layer happens here for a block of points at a
 * time, whose activations stay in the nearest cache; for gradients they are computed once more
 * instead of being kept. mlp_cpu.py says what the arguments mean.
 *
 * Plain C11 with vector extensions of gcc and clang; compiled_kernel.py builds it at first use.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tasks.h"

#define ROWS 6                 /* of a tile: with two vectors each they fill 16 registers */
#define LANES 8                /* of a vector */
#define BLOCK (16 * ROWS)      /* points that go through all layers together */
#define BLOCKS_PER_TASK 8
#define GRADIENT_TASKS 16      /* each sums weight gradients of its own */
#define MAX_LAYERS 8

typedef float floats8 __attribute__((vector_size(32)));
typedef int32_t ints8 __attribute__((vector_size(32)));
typedef float loose8 __attribute__((vector_size(32), aligned(4), may_alias));

enum { VALUES = 0, GRADIENTS = 1 };

typedef struct {
    const float *input;    /* (points, dims[0]) */
    const float *gradient; /* (points, dims[layers]) */
    float *result;         /* (points, dims[layers]), or (points, dims[0]), or NULL */
    float *partial;        /* (tasks, partial_size): weight gradients of each task */
    float *padded;         /* all layers' weights, padded */
    float *scratch;        /* (workers, scratch_size) */
    int32_t dims[MAX_LAYERS + 1];
    /* Where each layer's part begins: in `padded` W^T, b and W, in `partial` dW and db. */
    int64_t forward_at[MAX_LAYERS], bias_at[MAX_LAYERS], backward_at[MAX_LAYERS];
    int64_t weight_gradient_at[MAX_LAYERS], bias_gradient_at[MAX_LAYERS];
    /* Where activations and two blocks of gradients begin in a worker's scratch memory. */
    int64_t values_at[MAX_LAYERS + 1], gradients_at[2], scratch_size, partial_size;
    int64_t points;
    int layers, tasks;
} Job;

static inline int wide(int columns) { return (columns + LANES - 1) / LANES * LANES; }
static inline int tall(int rows) { return (rows + ROWS - 1) / ROWS * ROWS; }

/* One tile, ROWS by `vectors` * LANES, of c = start + a b, without what is below zero if `relu`. */
static inline __attribute__((always_inline)) void tile(
    const float *a, int64_t row_a, int64_t step_a, const float *b, int64_t row_b,
    const float *start, int64_t row_start, float *c, int64_t row_c, int steps, int relu,
    const int vectors)
{
    floats8 sum[ROWS][2] = {0};
    if (start != NULL)
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] = *(const loose8 *)(start + r * row_start + v * LANES);
    for (int k = 0; k < steps; k++)
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] +=
                    a[r * row_a + k * step_a] * *(const loose8 *)(b + k * row_b + v * LANES);
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < vectors; v++) {
            /* NaN is not below zero, and stays. */
            const ints8 dropped = relu ? (ints8)(sum[r][v] < 0.0f) : (ints8){0};
            *(loose8 *)(c + r * row_c + v * LANES) = (floats8)((ints8)sum[r][v] & ~dropped);
        }
}

/* c = start + a b for `rows` (a multiple of ROWS) and `columns` (of LANES); b and c lie dense.
 * `start` may be NULL, which is zero, or repeat one row, or be c. */
static void product(
    const float *a, int64_t row_a, int64_t step_a, const float *b, const float *start,
    int64_t row_start, float *c, int rows, int columns, int steps, int relu)
{
    for (int column = 0; column < columns; column += 2 * LANES)
        for (int row = 0; row < rows; row += ROWS) {
            const float *at = a + row * row_a;
            const float *from = start == NULL ? NULL : start + row * row_start + column;
            float *to = c + (int64_t)row * columns + column;
            if (column + LANES < columns)
                tile(at, row_a, step_a, b + column, columns, from, row_start, to, columns, steps,
                     relu, 2);
            else
                tile(at, row_a, step_a, b + column, columns, from, row_start, to, columns, steps,
                     relu, 1);
        }
}

/* Rows of a narrow matrix into a block of wide ones, zero where there is none. */
static void copy_block(const float *from, int count, int columns, float *block)
{
    const int width = wide(columns);
    memset(block, 0, (size_t)BLOCK * width * sizeof(float));
    for (int i = 0; i < count; i++)
        memcpy(block + (int64_t)i * width, from + (int64_t)i * columns, columns * sizeof(float));
}

static void copy_back(const float *block, int count, int columns, float *to)
{
    const int width = wide(columns);
    for (int i = 0; i < count; i++)
        memcpy(to + (int64_t)i * columns, block + (int64_t)i * width, columns * sizeof(float));
}

static int count_of(const Job *job, int64_t start)
{
    return job->points - start < BLOCK ? (int)(job->points - start) : BLOCK;
}

/* The first layers, for the block of points that begins at `start`. */
static void forward(const Job *job, int layers, int64_t start, float *scratch)
{
    copy_block(job->input + start * job->dims[0], count_of(job, start), job->dims[0], scratch);
    for (int l = 0; l < layers; l++)
        product(scratch + job->values_at[l], wide(job->dims[l]), 1,
                job->padded + job->forward_at[l], job->padded + job->bias_at[l], 0,
                scratch + job->values_at[l + 1], BLOCK, wide(job->dims[l + 1]), job->dims[l],
                l + 1 < job->layers);
}

/* From the gradient of a layer's output, `given` (BLOCK, wide): of its weights, added to
 * `partial`, and of its input, into `made`. */
static void backward(
    const Job *job, int l, const float *scratch, const float *given, float *made, float *partial)
{
    const float *entered = scratch + job->values_at[l];
    const int in = wide(job->dims[l]), out = wide(job->dims[l + 1]);
    float *weights = partial + job->weight_gradient_at[l];
    float *bias = partial + job->bias_gradient_at[l];
    /* Rows from dims[l + 1] on are made of what happens to lie there; nobody reads them. */
    product(given, 1, out, entered, weights, in, weights, tall(job->dims[l + 1]), in, BLOCK, 0);
    for (int i = 0; i < BLOCK; i++)
        for (int column = 0; column < out; column++) bias[column] += given[i * out + column];
    if (l == 0 && job->result == NULL) return;
    product(given, out, 1, job->padded + job->backward_at[l], NULL, 0, made, BLOCK, in,
            job->dims[l + 1], 0);
    if (l > 0)
        for (int i = 0; i < BLOCK * in; i++) made[i] = entered[i] > 0.0f ? made[i] : 0.0f;
}

static void values(void *given, int task, int worker)
{
    Job *job = given;
    const int columns = job->dims[job->layers];
    float *scratch = job->scratch + worker * job->scratch_size;
    for (int block = 0; block < BLOCKS_PER_TASK; block++) {
        const int64_t start = ((int64_t)task * BLOCKS_PER_TASK + block) * BLOCK;
        if (start >= job->points) break;
        forward(job, job->layers, start, scratch);
        copy_back(scratch + job->values_at[job->layers], count_of(job, start), columns,
                  job->result + start * columns);
    }
}

static void gradients(void *given, int task, int worker)
{
    Job *job = given;
    const int columns = job->dims[job->layers];
    const int64_t blocks = (job->points + BLOCK - 1) / BLOCK;
    const int64_t first = blocks * task / job->tasks, end = blocks * (task + 1) / job->tasks;
    float *scratch = job->scratch + worker * job->scratch_size;
    for (int64_t start = first * BLOCK; start < end * BLOCK; start += BLOCK) {
        const int count = count_of(job, start);
        float *from = scratch + job->gradients_at[0], *to = scratch + job->gradients_at[1];
        forward(job, job->layers - 1, start, scratch);
        copy_block(job->gradient + start * columns, count, columns, from);
        for (int l = job->layers - 1; l >= 0; l--) {
            backward(job, l, scratch, from, to, job->partial + task * job->partial_size);
            float *swapped = from;
            from = to;
            to = swapped;
        }
        if (job->result != NULL)
            copy_back(from, count, job->dims[0], job->result + start * job->dims[0]);
    }
}

/* Say where everything begins; returns how much `padded` takes. */
static int64_t lay_out(Job *job)
{
    int64_t padded = 0, widest = 0;
    for (int l = 0; l < job->layers; l++) {
        const int64_t in = job->dims[l], out = job->dims[l + 1];
        job->forward_at[l] = padded;
        job->bias_at[l] = job->forward_at[l] + in * wide(out);
        job->backward_at[l] = job->bias_at[l] + wide(out);
        padded = job->backward_at[l] + out * wide(in);
        job->weight_gradient_at[l] = job->partial_size;
        job->bias_gradient_at[l] = job->weight_gradient_at[l] + tall(out) * wide(in);
        job->partial_size = job->bias_gradient_at[l] + wide(out);
    }
    for (int l = 0; l <= job->layers; l++) {
        job->values_at[l] = job->scratch_size;
        job->scratch_size += (int64_t)BLOCK * wide(job->dims[l]);
        widest = wide(job->dims[l]) > widest ? wide(job->dims[l]) : widest;
    }
    for (int side = 0; side < 2; side++) {
        job->gradients_at[side] = job->scratch_size;
        /* A tile may read up to ROWS columns beyond the last. */
        job->scratch_size += (int64_t)BLOCK * widest + ROWS;
    }
    return padded;
}

/* Copy weights, (out, in) and (out,) of one layer after the other, to where tiles read them. */
static void pad(Job *job, const float *weights)
{
    for (int l = 0; l < job->layers; l++) {
        const int in = job->dims[l], out = job->dims[l + 1];
        float *transposed = job->padded + job->forward_at[l];
        float *straight = job->padded + job->backward_at[l];
        for (int o = 0; o < out; o++)
            for (int i = 0; i < in; i++) {
                transposed[(int64_t)i * wide(out) + o] = weights[(int64_t)o * in + i];
                straight[(int64_t)o * wide(in) + i] = weights[(int64_t)o * in + i];
            }
        weights += (int64_t)in * out;
        memcpy(job->padded + job->bias_at[l], weights, out * sizeof(float));
        weights += out;
    }
}

/* The tasks' sums, in their order, in the layout of the weights. */
static void add_up(const Job *job, float *weights)
{
    for (int l = 0; l < job->layers; l++) {
        const int in = job->dims[l], out = job->dims[l + 1];
        for (int task = 0; task < job->tasks; task++) {
            const float *partial = job->partial + task * job->partial_size;
            const float *of_weights = partial + job->weight_gradient_at[l];
            const float *of_bias = partial + job->bias_gradient_at[l];
            for (int o = 0; o < out; o++) {
                float *row = weights + (int64_t)o * in;
                for (int i = 0; i < in; i++) row[i] += of_weights[(int64_t)o * wide(in) + i];
                weights[(int64_t)out * in + o] += of_bias[o];
            }
        }
        weights += (int64_t)in * out + out;
    }
}

/* Returns 0, or 1 when there is no memory. For values `gradient` and `of_weights` are not read; for
 * gradients `result`, of the input, may be NULL, and `of_weights` is zero when it is given. */
int dff_mlp(
    int work, const float *input, const float *weights, const float *gradient, float *result,
    float *of_weights, const int32_t *dims, int layers, int64_t points, int threads)
{
    Job job = {.input = input, .gradient = gradient, .result = result, .layers = layers,
               .points = points};
    if (layers < 1 || layers > MAX_LAYERS) return 1;
    memcpy(job.dims, dims, (layers + 1) * sizeof(int32_t));
    const int64_t padded = lay_out(&job);
    const int64_t blocks = (points + BLOCK - 1) / BLOCK;
    if (work == VALUES)
        job.tasks = (int)((blocks + BLOCKS_PER_TASK - 1) / BLOCKS_PER_TASK);
    else
        job.tasks = blocks < GRADIENT_TASKS ? (int)blocks : GRADIENT_TASKS;
    const size_t size = sizeof(float);
    job.padded = calloc(padded, size);
    job.scratch = calloc(workers_for(job.tasks, threads) * job.scratch_size, size);
    job.partial = work == VALUES ? NULL : calloc(job.tasks * job.partial_size, size);
    const int have = job.padded != NULL && job.scratch != NULL &&
                     (work == VALUES || job.partial != NULL);
    if (have && points > 0) {
        pad(&job, weights);
        run_tasks(work == VALUES ? values : gradients, &job, job.tasks, threads);
        if (work == GRADIENTS) add_up(&job, of_weights);
    }
    free(job.padded);
    free(job.scratch);
    free(job.partial);
    return !have && points > 0;
}
