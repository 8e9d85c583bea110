#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/sanitize.h"
#include "pixelbox/pixelbox_priv.h"

enum {
	FD_HIGH = 16, /* where descriptors are out of the way of a worker's own */
	MEMORY_BASE =
		1 << 30, /* program, libraries and their tables; ratios below are of the frame */
	MEMORY_TIMES = 20
};

/* Memory that pool and worker both see. */
struct share {
	int fd;
	uint8_t *map; /* NULL until the first frame */
	size_t size;
};

struct worker {
	pid_t pid; /* 0: not started */
	int socket;
	struct share in;
	struct share out;
	unsigned jobs;
	struct worker *next; /* of those that are free */
};

struct nx_pixelbox {
	pthread_mutex_t lock; /* guards free_workers and counts */
	pthread_cond_t given;
	struct worker *free_workers;
	struct nx_pixelbox_counts counts;
	int64_t frame_us;
	unsigned n;
	struct worker workers[];
};

/* One frame: what it is, and its bytes on this side. */
struct job {
	struct nx_box_request request;
	struct nx_slice in;
	struct nx_slice profiles[2];
	const struct nx_image_taker *taker; /* of an image's samples; NULL: it is none */
};

/* ---- shared memory ---- */

static void share_unmap(struct share *s)
{
	if (s->map)
		(void)munmap(s->map, s->size);
	s->map = NULL;
}

static void share_close(struct share *s)
{
	share_unmap(s);
	if (s->fd >= 0)
		(void)close(s->fd);
	*s = (struct share){.fd = -1};
}

static nx_rc share_open(struct share *s, struct nx_err *err)
{
	const int low = memfd_create("nx-pixel", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (low < 0)
		return nx_err_errno(err, "memory for a worker");
	s->fd = fcntl(low, F_DUPFD_CLOEXEC, FD_HIGH);
	(void)close(low);
	/* What this process has mapped must not go away under it. */
	if (s->fd < 0 || fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
		return nx_err_errno(err, "memory for a worker");
	return NX_OK;
}

static nx_rc share_grow(struct share *s, uint64_t need, struct nx_err *err)
{
	const size_t size = (need + 4096) & ~(uint64_t)4095; /* never empty */
	void *map;

	if (s->map && s->size >= size)
		return NX_OK;
	share_unmap(s);
	if (size > s->size && ftruncate(s->fd, (off_t)size) != 0)
		return nx_err_errno(err, "memory for a frame");
	s->size = size > s->size ? size : s->size;
	map = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (map == MAP_FAILED)
		return nx_err_errno(err, "memory for a frame");
	s->map = map;
	return NX_OK;
}

/* The next frame is another patient's: a worker finds zeros where this one was. */
static void share_clear(struct share *s, uint64_t used)
{
	if (!s->map)
		return;
	if (s->size > NX_LIMIT_PIXEL_KEPT) {
		share_unmap(s);
		(void)fallocate(
			s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)s->size);
	} else {
		explicit_bzero(s->map, used < s->size ? used : s->size);
	}
}

/* ---- workers ---- */

static void worker_end(struct worker *w, int *ret_status)
{
	*ret_status = 0;
	if (w->socket >= 0)
		(void)close(w->socket);
	w->socket = -1;
	if (w->pid > 0)
		while (waitpid(w->pid, ret_status, 0) < 0 && errno == EINTR)
			continue;
	w->pid = 0;
	share_close(&w->in);
	share_close(&w->out);
}

/* Its own descriptors, and nothing on the first three but what a sanitizer has to say. */
static int files_set(posix_spawn_file_actions_t *files, const struct worker *w, int socket)
{
	int rc = posix_spawn_file_actions_adddup2(files, socket, NX_BOX_SOCKET);

	if (!rc)
		rc = posix_spawn_file_actions_adddup2(files, w->in.fd, NX_BOX_INPUT);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(files, w->out.fd, NX_BOX_OUTPUT);
	for (int fd = 0; !rc && fd < (NX_WITH_ASAN ? STDERR_FILENO : STDERR_FILENO + 1); fd++)
		rc = posix_spawn_file_actions_addopen(files, fd, "/dev/null", O_RDWR, 0);
	return rc;
}

/* Signals as a fresh program has them, whatever this thread blocks: alarm() must end a worker. */
static int signals_set(posix_spawnattr_t *attr)
{
	sigset_t set;
	int rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

	(void)sigemptyset(&set);
	if (!rc)
		rc = posix_spawnattr_setsigmask(attr, &set);
	(void)sigfillset(&set);
	return rc ? rc : posix_spawnattr_setsigdefault(attr, &set);
}

#if NX_WITH_ASAN
#define WORKER_ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0:handle_segv=2"
#else
#define WORKER_ENVIRONMENT "PATH="
#endif

static nx_rc spawn(struct worker *w, int socket, struct nx_err *err)
{
	char name[] = "narthex", arg[] = NX_PIXELBOX_ARG;
	char environment[] = WORKER_ENVIRONMENT;
	char *const argv[] = {name, arg, NULL};
	char *const envp[] = {environment, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int rc = posix_spawn_file_actions_init(&files);

	if (rc)
		return nx_err_set(err, nx_rc_from_errno(rc), "start a worker");
	rc = posix_spawnattr_init(&attr);
	if (!rc) {
		rc = files_set(&files, w, socket);
		if (!rc)
			rc = signals_set(&attr);
		if (!rc)
			rc = posix_spawn(&w->pid, "/proc/self/exe", &files, &attr, argv, envp);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return rc ? nx_err_set(err, nx_rc_from_errno(rc), "start a worker") : NX_OK;
}

static nx_rc worker_start(struct worker *w, struct nx_err *err)
{
	int pair[2], status;
	NX_AUTO_FD theirs = -1;
	nx_rc rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return nx_err_errno(err, "socket of a worker");
	w->socket = pair[0];
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, FD_HIGH);
	(void)close(pair[1]);
	rc = theirs < 0 ? nx_err_errno(err, "socket of a worker") : share_open(&w->in, err);
	if (!rc)
		rc = share_open(&w->out, err);
	if (!rc)
		rc = spawn(w, theirs, err);
	if (rc) {
		w->pid = 0;
		worker_end(w, &status);
	}
	w->jobs = 0;
	return rc;
}

static struct worker *worker_take(struct nx_pixelbox *box)
{
	struct worker *w;

	(void)pthread_mutex_lock(&box->lock);
	while (!box->free_workers)
		(void)pthread_cond_wait(&box->given, &box->lock);
	w = box->free_workers;
	box->free_workers = w->next;
	(void)pthread_mutex_unlock(&box->lock);
	return w;
}

static void worker_give(
	struct nx_pixelbox *box, struct worker *w, const struct nx_pixelbox_counts *add)
{
	(void)pthread_mutex_lock(&box->lock);
	w->next = box->free_workers;
	box->free_workers = w;
	box->counts.frames += add->frames;
	box->counts.started += add->started;
	box->counts.died += add->died;
	box->counts.killed += add->killed;
	(void)pthread_cond_signal(&box->given);
	(void)pthread_mutex_unlock(&box->lock);
}

/* ---- one frame ---- */

static uint64_t job_in_len(const struct job *job)
{
	return job->in.n + job->profiles[0].n + job->profiles[1].n;
}

static void job_put(const struct job *job, uint8_t *to)
{
	const struct nx_slice parts[] = {job->in, job->profiles[0], job->profiles[1]};

	for (size_t i = 0; i < NX_ARRAY_LEN(parts); i++) {
		if (parts[i].n)
			memcpy(to, parts[i].p, parts[i].n);
		to += parts[i].n;
	}
}

static nx_rc request_send(struct worker *w, const struct job *job, struct nx_err *err)
{
	nx_rc rc = share_grow(&w->in, job_in_len(job), err);

	if (!rc)
		rc = share_grow(&w->out, job->request.out_cap, err);
	if (rc)
		return rc;
	job_put(job, w->in.map);
	if (send(w->socket, &job->request, sizeof(job->request), MSG_NOSIGNAL) !=
		sizeof(job->request))
		return nx_err_errno(err, "speak to a worker");
	return NX_OK;
}

/* A worker that is idle may have been ended by somebody: then another gets the frame. */
static nx_rc request_begin(
	struct worker *w, const struct job *job, struct nx_pixelbox_counts *add, struct nx_err *err)
{
	nx_rc rc = NX_E_IO;
	int status;

	if (w->pid && w->jobs >= NX_LIMIT_PIXEL_JOBS)
		worker_end(w, &status);
	if (w->pid) {
		rc = request_send(w, job, err);
		if (rc)
			worker_end(w, &status);
	}
	if (rc) {
		rc = worker_start(w, err);
		add->started += !rc;
		if (!rc)
			rc = request_send(w, job, err);
	}
	w->jobs++;
	return rc;
}

/* 1: there is an answer, or the end; 0: time is over. */
static int answer_wait(const struct worker *w, int64_t deadline_us)
{
	for (;;) {
		const int64_t left = deadline_us - nx_mono_us();
		struct pollfd fd = {.fd = w->socket, .events = POLLIN};
		const int n = left <= 0 ? 0 : poll(&fd, 1, (int)(left / 1000 + 1));

		if (n >= 0 || errno != EINTR)
			return n > 0;
	}
}

static nx_rc death_say(int status, struct nx_err *err)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return nx_err_set(err, NX_E_LIMIT, "frame takes too long");
	return nx_err_set(err, NX_E_MALFORMED, "codec died of this frame (%s %d)",
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* Bounds hold whatever the worker says; its text has no other characters than ours have. */
static nx_rc answer_check(struct nx_box_answer *answer, const struct job *job, struct nx_err *err)
{
	answer->text[sizeof(answer->text) - 1] = 0;
	for (char *c = answer->text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	if (answer->rc >= NX_E_COUNT_ || answer->photometric > NX_PHOTO_YBR_RCT ||
		answer->planar > 1 || answer->out_len > job->request.out_cap)
		return nx_err_set(err, NX_E_INTERNAL, "a worker's answer makes no sense");
	if (answer->rc)
		return nx_err_set(err, (nx_rc)answer->rc, "%s", answer->text);
	return NX_OK;
}

static nx_rc answer_get(struct nx_pixelbox *box, struct worker *w, const struct job *job,
	struct nx_box_answer *ret, struct nx_pixelbox_counts *add, struct nx_err *err)
{
	int status;

	if (!answer_wait(w, nx_mono_us() + box->frame_us)) {
		(void)kill(w->pid, SIGKILL);
		worker_end(w, &status);
		add->killed++;
		return nx_err_set(err, NX_E_LIMIT, "frame takes longer than %lld ms",
			(long long)(box->frame_us / 1000));
	}
	if (recv(w->socket, ret, sizeof(*ret), 0) != sizeof(*ret)) {
		(void)kill(w->pid, SIGKILL); /* it is gone, or not ours any more */
		worker_end(w, &status);
		add->died++;
		return death_say(status, err);
	}
	return answer_check(ret, job, err);
}

/* What the worker says of the image must be what it gave, before anybody believes it. */
static nx_rc image_give(const struct job *job, const uint8_t *out,
	const struct nx_box_answer *answer, struct nx_err *err)
{
	const struct nx_pixel_desc *desc = &answer->desc;
	nx_rc rc = nx_pixel_desc_check(desc, err);
	uint64_t len;

	if (rc)
		return rc;
	len = (uint64_t)nx_pixel_frame_len(desc) * desc->frames;
	if (desc->frames > NX_LIMIT_PIXEL_FRAMES || len > answer->out_len ||
		answer->out_len - len != desc->frames * sizeof(uint16_t))
		return nx_err_set(err, NX_E_INTERNAL, "a worker's answer makes no sense");
	return job->taker->take(job->taker->payload, desc, nx_slice(out, len),
		nx_slice(out + len, answer->out_len - len), err);
}

/* `out` or `stream` takes what comes back. */
static nx_rc job_run(struct nx_pixelbox *box, struct job *job, uint8_t *out, struct nx_buf *stream,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	struct nx_pixelbox_counts add = {.frames = 1};
	struct nx_box_answer answer = {0};
	struct worker *w = worker_take(box);
	nx_rc rc = request_begin(w, job, &add, err);

	if (!rc)
		rc = answer_get(box, w, job, &answer, &add, err);
	if (!rc && out)
		memcpy(out, w->out.map, answer.out_len);
	if (!rc && stream) {
		nx_buf_put(stream, w->out.map, answer.out_len);
		rc = nx_buf_check(stream, err);
	}
	if (!rc && job->taker)
		rc = image_give(job, w->out.map, &answer, err);
	share_clear(&w->in, job_in_len(job));
	share_clear(&w->out, job->request.out_cap);
	worker_give(box, w, &add);
	if (rc)
		return rc;
	*ret_desc = job->request.desc;
	ret_desc->photometric = (enum nx_photometric)answer.photometric;
	ret_desc->planar = answer.planar;
	return NX_OK;
}

static nx_rc job_init(struct job *job, const struct nx_pixelbox *box, enum nx_box_op op,
	const char *uid, const struct nx_pixel_frame *frame, struct nx_err *err)
{
	const struct nx_pixel_desc *desc = frame->desc;
	const struct nx_slice in = frame->bytes;
	const size_t n = strlen(uid);
	nx_rc rc = nx_pixel_desc_check(desc, err);

	if (rc)
		return rc;
	if (n > NX_LIMIT_UID || in.n > 2 * NX_LIMIT_PIXEL_FRAME)
		return nx_err_set(err, NX_E_LIMIT, "frame of %zu bytes", in.n);
	*job = (struct job){.in = in};
	job->request = (struct nx_box_request){
		.op = op, .desc = *desc, .flags = frame->flags, .in_len = in.n};
	job->request.out_cap = nx_pixel_frame_len(desc);
	if (op == NX_BOX_ENCODE) /* noise grows, small frames by their headers */
		job->request.out_cap += job->request.out_cap + 64ull * NX_KIB;
	job->request.memory =
		MEMORY_BASE + MEMORY_TIMES * (uint64_t)nx_pixel_frame_len(desc) + 2 * in.n;
	job->request.seconds = (unsigned)(box->frame_us / 1000000) + 2;
	memcpy(job->request.uid, uid, n + 1);
	return NX_OK;
}

nx_rc nx_pixelbox_decode(struct nx_pixelbox *box, const char *ts_uid,
	const struct nx_pixel_frame *frame, uint8_t *out, size_t cap,
	struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	struct job job;
	nx_rc rc = job_init(&job, box, NX_BOX_DECODE, ts_uid, frame, err);

	if (rc)
		return rc;
	if (cap < job.request.out_cap)
		return nx_err_set(err, NX_E_INVAL, "room of %zu bytes for a frame of %llu", cap,
			(unsigned long long)job.request.out_cap);
	return job_run(box, &job, out, NULL, ret_desc, err);
}

nx_rc nx_pixelbox_encode(struct nx_pixelbox *box, const char *ts_uid,
	const struct nx_pixel_frame *samples, const struct nx_pixel_params *params,
	struct nx_buf *out, struct nx_pixel_desc *ret_desc, struct nx_err *err)
{
	struct job job;
	nx_rc rc = job_init(&job, box, NX_BOX_ENCODE, ts_uid, samples, err);

	if (rc)
		return rc;
	if (params)
		job.request.params = *params;
	return job_run(box, &job, NULL, out, ret_desc, err);
}

nx_rc nx_pixelbox_convert(struct nx_pixelbox *box, struct nx_raster *raster, struct nx_slice from,
	struct nx_slice to, struct nx_err *err)
{
	struct nx_pixel_desc desc = {.rows = raster->rows,
		.columns = raster->columns,
		.frames = 1,
		.samples = 3,
		.bits_allocated = 8,
		.bits_stored = 8,
		.high_bit = 7,
		.photometric = NX_PHOTO_RGB};
	const struct nx_pixel_frame pixels = {.desc = &desc,
		.bytes = nx_slice(raster->pixels,
			nx_raster_len(raster->rows, raster->columns, raster->samples))};
	struct job job;
	nx_rc rc;

	if (raster->samples != 3 || from.n > NX_LIMIT_ICC || to.n > NX_LIMIT_ICC)
		return nx_err_set(err, NX_E_INVAL, "colors of %u samples", raster->samples);
	rc = job_init(&job, box, NX_BOX_CONVERT, "", &pixels, err);
	if (rc)
		return rc;
	job.profiles[0] = from;
	job.profiles[1] = to;
	job.request.profiles[0] = from.n;
	job.request.profiles[1] = to.n;
	return job_run(box, &job, raster->pixels, NULL, &desc, err);
}

nx_rc nx_pixelbox_image(struct nx_pixelbox *box, const struct nx_image_source *source,
	const struct nx_image_taker *taker, struct nx_err *err)
{
	struct job job = {.in = source->file, .taker = taker};
	struct nx_pixel_desc desc;

	if (source->file.n > NX_LIMIT_IMAGE_FILE)
		return nx_err_set(err, NX_E_LIMIT, "image of %zu bytes", source->file.n);
	job.request = (struct nx_box_request){.op = NX_BOX_IMAGE,
		.flags = source->samples,
		.form = source->form,
		.in_len = source->file.n,
		.out_cap = NX_LIMIT_IMAGE_FILE,
		.memory = MEMORY_BASE + 8 * NX_LIMIT_IMAGE_FILE,
		.seconds = (unsigned)(box->frame_us / 1000000) + 2};
	return job_run(box, &job, NULL, NULL, &desc, err);
}

/* ---- the pool ---- */

nx_rc nx_pixelbox_new(
	const struct nx_pixelbox_opts *opts, struct nx_pixelbox **ret_box, struct nx_err *err)
{
	const int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
	const unsigned n = opts->workers ? opts->workers : cores > 0 ? (unsigned)cores : 1;
	struct nx_pixelbox *box;

	if (n > NX_LIMIT_PIXEL_WORKERS)
		return nx_err_set(err, NX_E_LIMIT, "more than %u workers", NX_LIMIT_PIXEL_WORKERS);
	box = calloc(1, sizeof(*box) + n * sizeof(box->workers[0]));
	if (!box)
		return nx_err_set(err, NX_E_NOMEM, "no memory for workers");
	(void)pthread_mutex_init(&box->lock, NULL);
	(void)pthread_cond_init(&box->given, NULL);
	box->frame_us = opts->frame_us ? opts->frame_us : NX_LIMIT_PIXEL_FRAME_US;
	box->n = n;
	for (unsigned i = 0; i < n; i++) {
		box->workers[i] = (struct worker){.socket = -1, .in.fd = -1, .out.fd = -1};
		box->workers[i].next = box->free_workers;
		box->free_workers = &box->workers[i];
	}
	*ret_box = box;
	return NX_OK;
}

struct nx_pixelbox *nx_pixelbox_free(struct nx_pixelbox *box)
{
	int status;

	if (!box)
		return NULL;
	for (unsigned i = 0; i < box->n; i++)
		worker_end(&box->workers[i], &status);
	(void)pthread_cond_destroy(&box->given);
	(void)pthread_mutex_destroy(&box->lock);
	free(box);
	return NULL;
}

void nx_pixelbox_count(struct nx_pixelbox *box, struct nx_pixelbox_counts *ret)
{
	(void)pthread_mutex_lock(&box->lock);
	*ret = box->counts;
	(void)pthread_mutex_unlock(&box->lock);
}
