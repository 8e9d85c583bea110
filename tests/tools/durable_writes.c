/*
 * durable_writes.c - what the disk itself can do: every writer appends to a file of its own, past
 * the page cache, and syncs after each write.  No server that keeps what it acknowledges is faster.
 *
 *   durable_writes FOLDER BYTES WRITERS COUNT
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"

enum {
	BLOCK = 4096,
	WRITERS_MAX = 64
};

struct writer {
	const char *folder;
	size_t len;
	unsigned count;
	pthread_t thread;
	bool failed;
};

static bool append_all(const struct writer *w, int fd, const void *p)
{
	for (unsigned i = 0; i < w->count; i++)
		if (pwrite(fd, p, w->len, (off_t)i * (off_t)w->len) != (ssize_t)w->len ||
			fdatasync(fd) < 0)
			return false;
	return true;
}

static void *writer_main(void *payload)
{
	struct writer *w = payload;
	NX_AUTO_FD fd = open(w->folder, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	NX_AUTO_MEM void *p = aligned_alloc(BLOCK, w->len);

	if (p)
		memset(p, 0x5a, w->len);
	w->failed = fd < 0 || !p || !append_all(w, fd, p);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct writer writers[WRITERS_MAX];
	size_t len = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	unsigned n = argc == 5 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	unsigned count = argc == 5 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
	bool failed = false;
	int64_t from;
	double seconds;

	if (!len || !n || n > WRITERS_MAX || count < n) {
		(void)fprintf(stderr, "usage: durable_writes FOLDER BYTES WRITERS COUNT\n");
		return EXIT_FAILURE;
	}
	len = (len + BLOCK - 1) / BLOCK * BLOCK;
	from = nx_mono_us();
	for (unsigned i = 0; i < n; i++) {
		writers[i] = (struct writer){.folder = argv[1], .len = len, .count = count / n};
		if (pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]))
			exit(EXIT_FAILURE); /* those that run end with the process */
	}
	for (unsigned i = 0; i < n; i++) {
		(void)pthread_join(writers[i].thread, NULL);
		failed = failed || writers[i].failed;
	}
	seconds = (double)(nx_mono_us() - from) / 1e6;
	if (failed) {
		(void)fprintf(stderr, "durable_writes: a write or a sync failed\n");
		return EXIT_FAILURE;
	}
	(void)printf("rate %.1f mb %.1f\n", (double)(count / n * n) / seconds,
		(double)(count / n * n) * (double)len / seconds / 1e6);
	return EXIT_SUCCESS;
}
