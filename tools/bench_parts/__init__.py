"""Parts of the benchmarks: runs that are stepped by hand, and what each thing costs."""
