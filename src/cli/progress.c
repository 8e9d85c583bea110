#include "cli/progress.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli_priv.h"
#include "cli/client.h"

enum {
	DRAW_US = 200000,
	LOOK_MS = 250,
	WIDTH = 24,
	NUMBER_LEN = 24
};

/* ---- signals ---- */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

void cli_signals(void)
{
	/* No SA_RESTART: a prompt or a read ends, too. */
	const struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < NX_ARRAY_LEN(numbers); i++)
		(void)sigaction(numbers[i], &act, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

bool cli_interrupted(void)
{
	return interrupted;
}

nx_rc cli_interrupt_check(struct nx_err *err)
{
	return interrupted ? nx_err_set(err, NX_E_CLOSED, "interrupted") : NX_OK;
}

/* ---- a bar ---- */

void cli_bar_begin(struct cli_bar *bar, const char *what, const char *unit)
{
	*bar = (struct cli_bar){.what = what,
		.unit = unit,
		.started_us = nx_mono_us(),
		.tty = isatty(STDERR_FILENO)};
}

static const char *amount(const struct cli_bar *bar, uint64_t n, char ret[NUMBER_LEN])
{
	char bytes[16];

	if (strcmp(bar->unit, "bytes") == 0)
		(void)snprintf(ret, NUMBER_LEN, "%s", cli_bytes(n, bytes));
	else
		(void)snprintf(ret, NUMBER_LEN, "%llu", (unsigned long long)n);
	return ret;
}

static void draw(struct cli_bar *bar, uint64_t done, uint64_t total)
{
	static const char full[] = "########################", none[] = "........................";
	double seconds = (double)(nx_mono_us() - bar->started_us) / 1e6;
	double share = total ? (double)done / (double)total : 0;
	char has[NUMBER_LEN], of[NUMBER_LEN], rate[NUMBER_LEN];
	int filled;

	share = share > 1 ? 1 : share;
	filled = (int)(share * WIDTH);
	(void)amount(bar, seconds > 0.5 ? (uint64_t)((double)done / seconds) : 0, rate);
	if (!done && !total)
		(void)fprintf(stderr, "\r%-8s %.0f s\033[K", bar->what, seconds);
	else if (!total)
		(void)fprintf(stderr, "\r%-8s %s %s, %s/s\033[K", bar->what, amount(bar, done, has),
			bar->unit, rate);
	else
		(void)fprintf(stderr, "\r%-8s [%.*s%.*s] %3.0f %%  %s of %s, %s/s\033[K", bar->what,
			filled, full, WIDTH - filled, none, 100 * share, amount(bar, done, has),
			amount(bar, total, of), rate);
	bar->drawn = true;
}

void cli_bar_set(struct cli_bar *bar, uint64_t done, uint64_t total)
{
	int64_t now = bar->tty ? nx_mono_us() : 0;

	if (!bar->tty || now - bar->drawn_us < DRAW_US)
		return;
	bar->drawn_us = now;
	draw(bar, done, total);
}

/* The line is taken back: what follows is the answer. */
void cli_bar_end(struct cli_bar *bar)
{
	if (bar->drawn)
		(void)fprintf(stderr, "\r\033[K");
	bar->drawn = false;
}

/* ---- a bar that looks by itself ---- */

struct cli_watch {
	pthread_t thread;
	pthread_mutex_t lock; /* guards end */
	pthread_cond_t wake;
	bool end;
	struct cli_bar bar;
	struct nx_progress *work; /* of this process; NULL: of the server */
	struct nx_client *client;
	struct nx_progress answered; /* what the server said last */
};

static void server_look(struct cli_watch *w)
{
	const json_t *row;
	json_t *json = NULL;
	struct nx_err err;
	size_t i;

	if (nx_client_json(w->client, "GET", "/works", NULL, &json, &err))
		return;
	json_array_foreach(json_object_get(json, "works"), i, row)
	{
		const char *name = json_string_value(json_object_get(row, "name"));
		const char *unit = json_string_value(json_object_get(row, "unit"));

		if (!name || strcmp(name, w->bar.what) != 0)
			continue;
		w->bar.unit = unit && strcmp(unit, "bytes") == 0 ? "bytes" : "items";
		atomic_store(&w->answered.done,
			(uint64_t)json_integer_value(json_object_get(row, "done")));
		atomic_store(&w->answered.total,
			(uint64_t)json_integer_value(json_object_get(row, "total")));
	}
	json_decref(json);
}

static void look(struct cli_watch *w)
{
	const struct nx_progress *seen = w->work ? w->work : &w->answered;

	if (!w->work)
		server_look(w);
	else if (cli_interrupted())
		atomic_store(&w->work->stop, true);
	cli_bar_set(&w->bar, atomic_load(&seen->done), atomic_load(&seen->total));
}

static void *watch_main(void *payload)
{
	struct cli_watch *w = payload;
	struct timespec at;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->end) {
		(void)clock_gettime(CLOCK_REALTIME, &at);
		at.tv_nsec += LOOK_MS * 1000000L;
		at.tv_sec += at.tv_nsec / 1000000000L;
		at.tv_nsec %= 1000000000L;
		(void)pthread_cond_timedwait(&w->wake, &w->lock, &at);
		if (w->end)
			break;
		(void)pthread_mutex_unlock(&w->lock);
		look(w);
		(void)pthread_mutex_lock(&w->lock);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

static struct cli_watch *watch_free(struct cli_watch *w)
{
	(void)pthread_mutex_destroy(&w->lock);
	(void)pthread_cond_destroy(&w->wake);
	nx_client_free(w->client);
	free(w);
	return NULL;
}

static struct cli_watch *watch_start(
	const char *what, const char *unit, struct nx_progress *work, struct nx_client *client)
{
	struct cli_watch *w = calloc(1, sizeof(*w));

	if (!w) {
		nx_client_free(client);
		return NULL;
	}
	w->work = work;
	w->client = client;
	cli_bar_begin(&w->bar, what, unit);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
	return pthread_create(&w->thread, NULL, watch_main, w) == 0 ? w : watch_free(w);
}

struct cli_watch *cli_watch_local(const char *what, const char *unit, struct nx_progress *work)
{
	return watch_start(what, unit, work, NULL);
}

struct cli_watch *cli_watch_server(const struct cli_args *args, const char *what)
{
	struct nx_client *client = NULL;
	struct nx_err err;

	if (!isatty(STDERR_FILENO) || nx_client_new(args, &client, &err))
		return NULL;
	return watch_start(what, "items", NULL, client);
}

void cli_watch_end(struct cli_watch *watch)
{
	if (!watch)
		return;
	(void)pthread_mutex_lock(&watch->lock);
	watch->end = true;
	(void)pthread_cond_signal(&watch->wake);
	(void)pthread_mutex_unlock(&watch->lock);
	(void)pthread_join(watch->thread, NULL);
	cli_bar_end(&watch->bar);
	(void)watch_free(watch);
}
