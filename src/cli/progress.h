/*
 * progress.h - bars for people at a terminal, and Ctrl-C for everyone.
 *
 * Layer:   5 (cli).
 * Threads: one bar at a time; cli_interrupted() from any thread.
 * PHI:     none.
 */
#ifndef NX_CLI_PROGRESS_H
#define NX_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/progress.h"

struct cli_args;

/* SIGINT, SIGTERM and SIGHUP only set a flag, once; a second one ends the process. */
void cli_signals(void);
bool cli_interrupted(void);
/* NX_E_CLOSED after a signal: what is half done is undone on the way out. */
NX_NODISCARD nx_rc cli_interrupt_check(struct nx_err *err);

/* Nothing is drawn unless standard error is a terminal. */
struct cli_bar {
	const char *what;
	const char *unit; /* "bytes" are written with their unit, anything else counted */
	uint64_t before;  /* done by earlier exchanges of this bar ... */
	uint64_t total;   /* ... of this in all; 0: as far as the exchange knows */
	int64_t started_us;
	int64_t drawn_us;
	bool tty;
	bool drawn;
};
void cli_bar_begin(struct cli_bar *bar, const char *what, const char *unit);
/* At most a few times a second; `total` 0: not known. */
void cli_bar_set(struct cli_bar *bar, uint64_t done, uint64_t total);
void cli_bar_end(struct cli_bar *bar);

/* A bar that looks at the work of another thread by itself, and stops that work after a signal. */
struct cli_watch;
/* NULL when no bar can be shown; `work` lives until cli_watch_end(). */
struct cli_watch *cli_watch_local(const char *what, const char *unit, struct nx_progress *work);
/* The same of the server's long work of that name. */
struct cli_watch *cli_watch_server(const struct cli_args *args, const char *what);
void cli_watch_end(struct cli_watch *watch); /* takes NULL */

#endif
