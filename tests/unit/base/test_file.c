#include "nx_test.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"

struct fixture {
	char path[64];
	int dir;
	struct nx_err err;
};

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	if (!fx)
		return -1;
	(void)snprintf(fx->path, sizeof(fx->path), "/tmp/nx-test-file-%s",
		"XX"
		"XXXX");
	if (!mkdtemp(fx->path))
		return -1;
	fx->dir = open(fx->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = fx;
	return fx->dir < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;
	int rc;

	(void)close(fx->dir);
	rc = nftw(fx->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fx);
	return rc;
}

static void test_replace_then_read_gives_the_same_bytes(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, 100, 0);
	assert_ok(nx_file_replace(fx->dir, "f", nx_slice("a\0b", 3), 0600, &fx->err), &fx->err);
	assert_ok(nx_file_read(fx->dir, "f", &buf, &fx->err), &fx->err);
	assert_true(nx_slice_eq(nx_buf_slice(&buf), nx_slice("a\0b", 3)));
	assert_ok(nx_file_replace(fx->dir, "f", nx_slice("", 0), 0600, &fx->err), &fx->err);
	nx_buf_clear(&buf);
	assert_ok(nx_file_read(fx->dir, "f", &buf, &fx->err), &fx->err);
	assert_u64(buf.len, 0);
}

static void test_replace_leaves_no_temporary_file_and_the_mode_asked_for(void **state)
{
	struct fixture *fx = *state;
	mode_t mask = umask(077);
	struct stat st;
	int stale = openat(fx->dir, "f.tmp", O_WRONLY | O_CREAT, 0644);

	assert_true(stale >= 0);
	assert_int_equal(write(stale, "left by a crash", 15), 15);
	assert_int_equal(close(stale), 0);
	assert_ok(nx_file_replace(fx->dir, "f", nx_slice("x", 1), 0640, &fx->err), &fx->err);
	(void)umask(mask);
	assert_int_equal(fstatat(fx->dir, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_size, 1);
	assert_int_equal(fstatat(fx->dir, "f.tmp", &st, 0), -1);
}

static void test_a_failed_replace_keeps_the_old_file(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, 100, 0);
	assert_ok(nx_file_replace(fx->dir, "f", nx_slice("old", 3), 0600, &fx->err), &fx->err);
	assert_int_equal(mkdirat(fx->dir, "f.tmp", 0700), 0); /* in the temporary file's place */
	assert_rc(nx_file_replace(fx->dir, "f", nx_slice("new", 3), 0600, &fx->err), NX_E_IO);
	assert_ok(nx_file_read(fx->dir, "f", &buf, &fx->err), &fx->err);
	assert_true(nx_slice_eq(nx_buf_slice(&buf), nx_slice("old", 3)));
}

static void test_a_name_without_room_for_the_suffix_is_refused(void **state)
{
	struct fixture *fx = *state;
	char name[254];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	assert_rc(nx_file_replace(fx->dir, name, nx_slice("x", 1), 0600, &fx->err), NX_E_INVAL);
	name[251] = 0;
	assert_ok(nx_file_replace(fx->dir, name, nx_slice("x", 1), 0600, &fx->err), &fx->err);
}

static void test_read_keeps_to_the_limit_of_the_buffer(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, 3, 0);
	assert_rc(nx_file_read(fx->dir, "none", &buf, &fx->err), NX_E_NOENT);
	assert_ok(nx_file_replace(fx->dir, "f", nx_slice("1234", 4), 0600, &fx->err), &fx->err);
	assert_rc(nx_file_read(fx->dir, "f", &buf, &fx->err), NX_E_LIMIT);
	assert_u64(buf.len, 0);
}

static void test_full_reads_and_writes_at_an_offset(void **state)
{
	struct fixture *fx = *state;
	NX_AUTO_FD fd = openat(fx->dir, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char got[4] = "";

	assert_true(fd >= 0);
	assert_ok(nx_pwrite_full(fd, "abcd", 4, 1ull << 33, &fx->err), &fx->err); /* sparse */
	assert_ok(nx_pread_full(fd, got, 4, 1ull << 33, &fx->err), &fx->err);
	assert_memory_equal(got, "abcd", 4);
	assert_ok(nx_pread_full(fd, got, 0, 1ull << 40, &fx->err), &fx->err);
	assert_rc(nx_pread_full(fd, got, 4, (1ull << 33) + 1, &fx->err), NX_E_SHORT);
	assert_rc(nx_pread_full(-1, got, 4, 0, &fx->err), NX_E_IO);
	assert_rc(nx_pwrite_full(-1, got, 4, 0, &fx->err), NX_E_IO);
}

static void test_directories_are_made_private_with_their_parents(void **state)
{
	struct fixture *fx = *state;
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/a/b//c/", fx->path);
	assert_ok(nx_mkdirs(path, &fx->err), &fx->err);
	assert_ok(nx_mkdirs(path, &fx->err), &fx->err);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_a_file_is_not_taken_for_a_directory(void **state)
{
	struct fixture *fx = *state;
	char path[128];

	assert_ok(nx_file_replace(fx->dir, "f", nx_slice("x", 1), 0600, &fx->err), &fx->err);
	(void)snprintf(path, sizeof(path), "%s/f", fx->path);
	assert_rc(nx_mkdirs(path, &fx->err), NX_E_EXISTS);
	(void)snprintf(path, sizeof(path), "%s/f/g", fx->path);
	assert_rc(nx_mkdirs(path, &fx->err), NX_E_IO);
}

static void test_paths_of_no_or_too_many_bytes_are_refused(void **state)
{
	struct fixture *fx = *state;
	char path[5000];

	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = 0;
	assert_rc(nx_mkdirs("", &fx->err), NX_E_INVAL);
	assert_rc(nx_mkdirs(path, &fx->err), NX_E_INVAL);
}

#define fact(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		fact(test_replace_then_read_gives_the_same_bytes),
		fact(test_replace_leaves_no_temporary_file_and_the_mode_asked_for),
		fact(test_a_failed_replace_keeps_the_old_file),
		fact(test_a_name_without_room_for_the_suffix_is_refused),
		fact(test_read_keeps_to_the_limit_of_the_buffer),
		fact(test_full_reads_and_writes_at_an_offset),
		fact(test_directories_are_made_private_with_their_parents),
		fact(test_a_file_is_not_taken_for_a_directory),
		fact(test_paths_of_no_or_too_many_bytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
