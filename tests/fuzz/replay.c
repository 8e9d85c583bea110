/*
 * replay.c - runs a fuzz target over the files of its corpus, under any compiler: files and folders
 * (one level) are named on the command line.
 */
#include <dirent.h>

#include "fuzz.h"

enum {
	PATH_LEN = 4096
};

static size_t replayed;

/* The bytes in memory of exactly their size, so that a read past the end is seen. */
static int file_replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	long size = -1;
	int rc = 1;

	if (file && fseek(file, 0, SEEK_END) == 0)
		size = ftell(file);
	if (size >= 0 && fseek(file, 0, SEEK_SET) == 0)
		data = malloc(size ? (size_t)size : 1);
	if (data && fread(data, 1, (size_t)size, file) == (size_t)size) {
		(void)fprintf(
			stderr, "%s\n", path); /* the last one named is the one that crashed */
		rc = LLVMFuzzerTestOneInput(data, (size_t)size) != 0;
		replayed++;
	}
	free(data);
	if (file && fclose(file) != 0)
		rc = 1;
	if (rc)
		(void)fprintf(stderr, "%s: could not be replayed\n", path);
	return rc;
}

static int folder_replay(DIR *folder, const char *path)
{
	struct dirent *entry;
	int rc = 0;

	while ((entry = readdir(folder))) {
		char name[PATH_LEN];

		if (entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >=
			sizeof(name))
			return 1;
		rc |= file_replay(name);
	}
	return rc;
}

int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++) {
		DIR *folder = opendir(argv[i]);

		rc |= folder ? folder_replay(folder, argv[i]) : file_replay(argv[i]);
		if (folder)
			(void)closedir(folder);
	}
	if (!replayed)
		(void)fprintf(stderr, "nothing was replayed\n");
	return rc || !replayed;
}
