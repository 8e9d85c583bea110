/*
 * dimse_source.c - the fast sender of the benchmarks: made-up instances over several associations,
 * each with a window of operations, until there are enough or SIGTERM comes.
 *
 * Prints "<stored> <microseconds>" every --report answers, and a summary at the end.  Any answer
 * but success makes the exit status 1.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "dicom/dicom.h"
#include "dimse/scu.h"
#include "synthetic.h"

enum {
	SENDERS_MAX = 64
};

static const char *const syntaxes[] = {NX_UID_EXPLICIT_VR_LITTLE_ENDIAN};

struct plan {
	uint64_t port, instances, associations, window, pixels, seed, report;
	const char *called, *calling;
};

struct tally {
	_Atomic uint64_t good, bad;
	_Atomic unsigned status; /* the last one that was no success */
	uint64_t report;
	int64_t from_us;
};

struct sender {
	const struct plan *plan;
	struct tally *tally;
	unsigned index;
	uint64_t instances;
	uint64_t bytes;
	pthread_t thread;
	nx_rc rc;
	struct nx_err err;
};

static volatile sig_atomic_t stop;

static void on_term(int signum)
{
	(void)signum;
	stop = 1;
}

static void on_status(void *payload, uint16_t message_id, uint16_t status, const char *comment)
{
	struct tally *tally = payload;
	uint64_t n;

	(void)message_id, (void)comment;
	if (status) {
		atomic_store(&tally->status, status);
		(void)atomic_fetch_add(&tally->bad, 1);
		return;
	}
	n = atomic_fetch_add(&tally->good, 1) + 1;
	if (tally->report && n % tally->report == 0)
		(void)printf("%llu %lld\n", (unsigned long long)n,
			(long long)(nx_mono_us() - tally->from_us));
}

static nx_rc association_open(
	const struct sender *sender, struct nx_dimse_scu **ret_scu, struct nx_err *err)
{
	struct nx_dimse_scu_context contexts[SYNTHETIC_MODALITIES];
	const struct nx_dimse_scu_opts opts = {
		.host = "127.0.0.1",
		.port = (uint16_t)sender->plan->port,
		.calling = sender->plan->calling,
		.called = sender->plan->called,
		.implementation_uid = NX_DICOM_IMPLEMENTATION_CLASS_UID,
		.contexts = contexts,
		.n_contexts = SYNTHETIC_MODALITIES,
		.window = (uint16_t)sender->plan->window,
		.on_status = on_status,
		.payload = sender->tally,
	};

	for (size_t i = 0; i < SYNTHETIC_MODALITIES; i++)
		contexts[i] = (struct nx_dimse_scu_context){synthetic_sop_classes[i], syntaxes, 1};
	return nx_dimse_scu_open(&opts, ret_scu, err);
}

static nx_rc all_send(struct sender *sender, struct nx_dimse_scu *scu, struct nx_err *err)
{
	NX_AUTO_DONE(synthetic) data;
	nx_rc rc = synthetic_init(&data, sender->plan->seed, (size_t)sender->plan->pixels,
		sender->index, sender->plan->associations, err);

	for (uint64_t i = 0; !rc && !stop && i < sender->instances; i++) {
		rc = synthetic_next(&data, err);
		if (!rc) {
			const struct nx_dimse_scu_instance instance = {
				.sop_class = data.sop_class,
				.sop_instance = data.sop_instance,
				.dataset = nx_buf_slice(&data.dataset),
			};

			rc = nx_dimse_scu_send(scu, &instance, err);
			sender->bytes += data.dataset.len;
		}
	}
	return rc;
}

static void *sender_main(void *payload)
{
	struct sender *sender = payload;
	NX_AUTO(nx_dimse_scu) *scu = NULL;

	sender->rc = association_open(sender, &scu, &sender->err);
	if (!sender->rc)
		sender->rc = all_send(sender, scu, &sender->err);
	if (!sender->rc)
		sender->rc = nx_dimse_scu_release(scu, &sender->err);
	return NULL;
}

/* The seconds that it took are from before the associations are opened. */
static int run(const struct plan *plan)
{
	static struct sender senders[SENDERS_MAX];
	struct tally tally = {.report = plan->report, .from_us = nx_mono_us()};
	unsigned n = (unsigned)plan->associations;
	uint64_t bytes = 0;
	bool failed = false;
	double seconds;

	for (unsigned i = 0; i < n; i++) {
		senders[i] = (struct sender){.plan = plan,
			.tally = &tally,
			.index = i,
			.instances = plan->instances / n + (i < plan->instances % n)};
		if (pthread_create(&senders[i].thread, NULL, sender_main, &senders[i])) {
			(void)fprintf(stderr, "dimse_source: cannot start a thread\n");
			exit(EXIT_FAILURE); /* those that run end with the process */
		}
	}
	for (unsigned i = 0; i < n; i++) {
		(void)pthread_join(senders[i].thread, NULL);
		bytes += senders[i].bytes;
		if (senders[i].rc)
			(void)fprintf(stderr, "dimse_source: association %u: %s\n", i,
				nx_err_text(&senders[i].err));
		failed = failed || senders[i].rc;
	}
	seconds = (double)(nx_mono_us() - tally.from_us) / 1e6;
	(void)printf("stored %llu refused %llu bytes %llu seconds %.3f rate %.1f\n",
		(unsigned long long)tally.good, (unsigned long long)tally.bad,
		(unsigned long long)bytes, seconds, (double)tally.good / seconds);
	if (tally.bad)
		(void)fprintf(stderr,
			"dimse_source: %llu answers were no success, the last %04XH\n",
			(unsigned long long)tally.bad, tally.status);
	return failed || tally.bad ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int usage(void)
{
	(void)fprintf(stderr,
		"usage: dimse_source --port N [--instances N] [--associations N] [--window N]\n"
		"                    [--pixels BYTES] [--seed N] [--report N] [--called AE]\n"
		"                    [--calling AE]\n");
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct plan plan = {.instances = 10000,
		.associations = 4,
		.window = 64,
		.pixels = 1024,
		.seed = 1,
		.called = "NARTHEX",
		.calling = "TESTENV"};
	static const struct option options[] = {{"port", 1, NULL, 0}, {"instances", 1, NULL, 1},
		{"associations", 1, NULL, 2}, {"window", 1, NULL, 3}, {"pixels", 1, NULL, 4},
		{"seed", 1, NULL, 5}, {"report", 1, NULL, 6}, {"called", 1, NULL, 7},
		{"calling", 1, NULL, 8}, {NULL, 0, NULL, 0}};
	uint64_t *const numbers[] = {&plan.port, &plan.instances, &plan.associations, &plan.window,
		&plan.pixels, &plan.seed, &plan.report};
	const char **const texts[] = {&plan.called, &plan.calling};
	const struct sigaction term = {.sa_handler = on_term};
	int at;

	while ((at = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (at >= 9)
			return usage();
		if (at < 7)
			*numbers[at] = strtoull(optarg, NULL, 10);
		else
			*texts[at - 7] = optarg;
	}
	if (optind != argc || !plan.port || !plan.associations || plan.associations > SENDERS_MAX)
		return usage();
	(void)sigaction(SIGTERM, &term, NULL);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	return run(&plan);
}
