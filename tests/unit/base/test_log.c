#include "nx_test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"

/* What went to standard error since begin(). */
struct capture {
	int saved;
	int file;
	char text[16384];
};

static void begin(struct capture *cap)
{
	cap->file = memfd_create("log", MFD_CLOEXEC);
	cap->saved = dup(STDERR_FILENO);
	assert_true(cap->file >= 0 && cap->saved >= 0);
	assert_int_equal(dup2(cap->file, STDERR_FILENO), STDERR_FILENO);
}

static void end(struct capture *cap)
{
	ssize_t n;

	assert_int_equal(dup2(cap->saved, STDERR_FILENO), STDERR_FILENO);
	n = pread(cap->file, cap->text, sizeof(cap->text) - 1, 0);
	assert_true(n >= 0);
	cap->text[n] = 0;
	assert_int_equal(close(cap->saved), 0);
	assert_int_equal(close(cap->file), 0);
}

static void test_a_line_is_one_json_object(void **state)
{
	struct capture cap;
	const char *after_time =
		"Z\",\"level\":\"info\",\"module\":\"store\",\"event\":\"pack-sealed\","
		"\"text\":\"\\\"7\\\"\\n\"}\n";

	(void)state;
	begin(&cap);
	nx_log(NX_LOG_INFO, "store", "pack-sealed", "\"%d\"\n", 7);
	end(&cap);
	assert_memory_equal(cap.text, "{\"time\":\"20", 11);
	assert_string_equal(strchr(cap.text, 'Z'), after_time);
}

static void test_members_stand_behind_the_text(void **state)
{
	const struct nx_log_field fields[] = {
		{"route", "GET /a/{b}"}, {"principal", NULL}, {"peer", "::1"}};
	struct capture cap;
	struct nx_err err = {0};

	(void)state;
	(void)nx_err_set(&err, NX_E_BUSY, "full");
	begin(&cap);
	nx_log_err_fields(NX_LOG_INFO, "m", "e", &err, fields, 3);
	end(&cap);
	assert_string_equal(strstr(cap.text, "\"code\""),
		"\"code\":\"busy\",\"text\":\"full\",\"route\":\"GET /a/{b}\",\"peer\":\"::1\"}\n");
}

static void test_levels_below_the_least_are_silent(void **state)
{
	struct capture cap;
	struct nx_err err = {0};

	(void)state;
	(void)nx_err_set(&err, NX_E_BUSY, "queue full");
	begin(&cap);
	nx_log(NX_LOG_DEBUG, "m", "e", "x");
	nx_log_set_level(NX_LOG_ERROR);
	nx_log(NX_LOG_WARN, "m", "e", "x");
	nx_log_err(NX_LOG_WARN, "m", "e", &err);
	nx_log_set_level(NX_LOG_INFO);
	end(&cap);
	assert_string_equal(cap.text, "");
}

static void test_errors_carry_their_code(void **state)
{
	struct capture cap;
	struct nx_err err = {0};

	(void)state;
	(void)nx_err_set(&err, NX_E_BUSY, "queue full");
	begin(&cap);
	nx_log_err(NX_LOG_ERROR, "ingest", "refused", &err);
	end(&cap);
	assert_non_null(strstr(cap.text, "\"code\":\"busy\",\"text\":\"queue full\"}\n"));
}

static void test_the_longest_text_still_ends_its_line(void **state)
{
	struct capture cap;
	char text[2000];

	(void)state;
	memset(text, 1, sizeof(text)); /* each becomes six characters */
	text[sizeof(text) - 1] = 0;
	begin(&cap);
	nx_log(NX_LOG_WARN, "m", "e", "%s", text);
	end(&cap);
	assert_string_equal(cap.text + strlen(cap.text) - 9, "\\u0001\"}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_is_one_json_object),
		cmocka_unit_test(test_members_stand_behind_the_text),
		cmocka_unit_test(test_levels_below_the_least_are_silent),
		cmocka_unit_test(test_errors_carry_their_code),
		cmocka_unit_test(test_the_longest_text_still_ends_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
