/* Runs a fuzz target over every file of the folders named: the corpus as a regression test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INPUT_MAX = 16 * 1024 * 1024
};

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX);
	size_t n;

	if (!file || !data) {
		perror(path);
		exit(1);
	}
	n = fread(data, 1, INPUT_MAX, file);
	(void)fclose(file);
	data = realloc(data, n ? n : 1); /* so that ASan sees reads past the end */
	(void)LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 1;
}

static int replay_dir(const char *dir)
{
	DIR *list = opendir(dir);
	const struct dirent *entry;
	char path[4096];
	int count = 0;

	if (!list) {
		perror(dir);
		exit(1);
	}
	while ((entry = readdir(list)))
		if (entry->d_name[0] != '.') {
			(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
			count += replay_file(path);
		}
	(void)closedir(list);
	return count;
}

int main(int argc, char **argv)
{
	int count = 0;

	for (int i = 1; i < argc; i++)
		count += replay_dir(argv[i]);
	(void)printf("%d inputs\n", count);
	return count ? 0 : 1;
}
