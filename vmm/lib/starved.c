// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/starved.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>

static int64_t of_thread(pid_t pid, const char *thread)
{
	char path[64];
	int64_t waited_ns = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)pid, thread);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%*d %" SCNd64, &waited_ns) != 1)
		waited_ns = 0;
	fclose(file);
	return waited_ns / 1000000;
}

int64_t starved_ms(pid_t pid)
{
	char path[64];
	int64_t most = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *threads = opendir(path);
	if (!threads)
		return 0;
	for (struct dirent *entry; (entry = readdir(threads));) {
		int64_t waited = entry->d_name[0] == '.' ? 0 : of_thread(pid, entry->d_name);
		most = waited > most ? waited : most;
	}
	closedir(threads);
	return most;
}
