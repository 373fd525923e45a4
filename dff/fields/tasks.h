/* Numbered tasks, shared out among threads. */
#ifndef DFF_TASKS_H
#define DFF_TASKS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_DEFAULT */
#endif
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define MAX_THREADS 64

typedef void (*Team)(void (*run)(void *), void *given, unsigned threads, unsigned flags);

typedef struct {
    void (*run)(void *job, int task, int worker);
    void *job;
    int tasks;
    atomic_int next, workers;
} Tasks;

static pid_t loaded_in;

__attribute__((constructor)) static void remember_process(void) { loaded_in = getpid(); }

static void take_tasks(void *given)
{
    Tasks *all = given;
    const int worker = atomic_fetch_add(&all->workers, 1);
    for (;;) {
        const int task = atomic_fetch_add(&all->next, 1);
        if (task >= all->tasks) return;
        all->run(all->job, task, worker);
    }
}

static void *as_thread(void *given)
{
    take_tasks(given);
    return NULL;
}

/* Threads that live for one call; one that cannot be had is done without. */
static void run_on_new_threads(Tasks *all, int threads)
{
    pthread_t helpers[MAX_THREADS];
    int started = 0;
    while (started < threads - 1 && pthread_create(&helpers[started], NULL, as_thread, all) == 0)
        started++;
    take_tasks(all);
    for (int i = 0; i < started; i++) pthread_join(helpers[i], NULL);
}

static inline int workers_for(int tasks, int threads)
{
    const int most = tasks < MAX_THREADS ? tasks : MAX_THREADS;
    return threads < 1 ? 1 : threads < most ? threads : most;
}

/* Tasks must never write to the same place, and be the same whatever the number of threads: then
 * results do not depend on it. A worker, numbered below workers_for(), does one task at a time.
 *
 * Torch's own OpenMP threads do the work where there are any: after each of torch's operations they
 * spin for milliseconds, on the cores that threads of ours would need. They do not live through a
 * fork. */
static inline void run_tasks(void (*run)(void *, int, int), void *job, int tasks, int threads)
{
    Tasks all = {run, job, tasks, 0, 0};
    const int workers = workers_for(tasks, threads);
    Team team = NULL;
    if (workers > 1 && getpid() == loaded_in) team = (Team)dlsym(RTLD_DEFAULT, "GOMP_parallel");
    if (team != NULL)
        team(take_tasks, &all, workers, 0);
    else
        run_on_new_threads(&all, workers);
}

#endif
