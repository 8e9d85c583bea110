/* Runs a fuzz target over the files of its corpus, under any compiler. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(int dir_fd, const char *name)
{
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, 64u << 20, 0);
	if (nx_file_read(dir_fd, name, &buf, NULL)) {
		(void)fprintf(stderr, "cannot read %s\n", name);
		return 1;
	}
	return LLVMFuzzerTestOneInput(buf.data, buf.len);
}

int main(int argc, char **argv)
{
	const struct dirent *entry;
	int failed = 0, n = 0;
	DIR *dir;

	dir = argc == 2 ? opendir(argv[1]) : NULL;
	if (!dir)
		return 1;
	while ((entry = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): one thread */
		if (entry->d_name[0] == '.')
			continue;
		failed |= replay(dirfd(dir), entry->d_name);
		n++;
	}
	(void)closedir(dir);
	return failed || n == 0;
}
