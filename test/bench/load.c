// The load generator of the mount benchmark: plain system calls, so that the client is never the bottleneck.
// Prints {"ops":N,"ns":T} on success; ends with status 1 and a message on any failed or short call.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 200

static long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

// A valid journal line of exactly LINE_BYTES, unique to (writer, sequence).
static void fill_line(char *line, int writer, long sequence)
{
	static const char head[] = "{\"role\":\"user\",\"content\":\"";
	int length = sprintf(line, "%sw%02d %012ld ", head, writer, sequence);
	memset(line + length, 'x', LINE_BYTES - 3 - length);
	memcpy(line + LINE_BYTES - 3, "\"}\n", 3);
}

struct shared {
	volatile int ready, go;
	volatile long ops[64];
};

static long append_loop(const char *file, int each, int writer, long long end_ns)
{
	char line[LINE_BYTES + 64];
	long done = 0;
	int fd = -1;
	if (!each && (fd = open(file, O_WRONLY | O_APPEND)) < 0)
		die(file);
	fill_line(line, writer, 0);
	while (now_ns() < end_ns) {
		// The sequence number is written in place: formatting would cost as much as a native append.
		char *digit = line + 25 + 4 + 11;
		for (long n = done; n > 0; n /= 10)
			*digit-- = (char)('0' + n % 10);
		if (each && (fd = open(file, O_WRONLY | O_APPEND | O_CREAT, 0644)) < 0)
			die(file);
		if (write(fd, line, LINE_BYTES) != LINE_BYTES)
			die("write");
		if (each && close(fd) != 0)
			die("close");
		done++;
	}
	return done;
}

static void append(const char *file, int each, int writers, double seconds)
{
	struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int writer = 0; writer < writers; writer++) {
		if (fork() == 0) {
			__sync_fetch_and_add(&shared->ready, 1);
			while (!shared->go)
				usleep(100);
			shared->ops[writer] = append_loop(file, each, writer, now_ns() + (long long)(seconds * 1e9));
			_exit(0);
		}
	}
	while (shared->ready < writers)
		usleep(100);
	long long start_ns = now_ns();
	shared->go = 1;
	int failed = 0, status;
	while (wait(&status) > 0)
		failed |= status != 0;
	long ops = 0;
	for (int writer = 0; writer < writers; writer++)
		ops += shared->ops[writer];
	if (failed)
		exit(1);
	printf("{\"ops\":%ld,\"ns\":%lld}\n", ops, now_ns() - start_ns);
}

static void stat_paths(const char *format, int count, double seconds)
{
	struct stat found;
	char path[4096];
	long ops = 0;
	long long start_ns = now_ns(), end_ns = start_ns + (long long)(seconds * 1e9);
	do {
		for (int n = 0; n < 64; n++) {
			snprintf(path, sizeof path, format, (int)(ops++ % count));
			if (stat(path, &found) != 0)
				die(path);
		}
	} while (now_ns() < end_ns);
	printf("{\"ops\":%ld,\"ns\":%lld}\n", ops, now_ns() - start_ns);
}

static void read_directory(const char *path, int at_least, double seconds)
{
	long passes = 0;
	long long start_ns = now_ns(), end_ns = start_ns + (long long)(seconds * 1e9);
	do {
		DIR *directory = opendir(path);
		int entries = 0;
		if (directory == NULL)
			die(path);
		while (errno = 0, readdir(directory) != NULL)
			entries++;
		if (errno != 0 || entries < at_least)
			die("readdir");
		closedir(directory);
		passes++;
	} while (now_ns() < end_ns);
	printf("{\"ops\":%ld,\"ns\":%lld}\n", passes, now_ns() - start_ns);
}

// ops: bytes read.
static void read_file(const char *path, long expected)
{
	size_t block = 1 << 17;
	char *buffer = malloc(block);
	long total = 0;
	long long start_ns = now_ns();
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		die(path);
	for (ssize_t got; (got = read(fd, buffer, block)) != 0; total += got)
		if (got < 0)
			die("read");
	close(fd);
	if (total != expected) {
		fprintf(stderr, "load: read %ld of %ld bytes\n", total, expected);
		exit(1);
	}
	printf("{\"ops\":%ld,\"ns\":%lld}\n", total, now_ns() - start_ns);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	if (argc == 5 && strcmp(verb, "append") == 0)
		append(argv[2], 0, atoi(argv[3]), atof(argv[4]));
	else if (argc == 5 && strcmp(verb, "append-each") == 0)
		append(argv[2], 1, atoi(argv[3]), atof(argv[4]));
	else if (argc == 5 && strcmp(verb, "stat") == 0)
		stat_paths(argv[2], atoi(argv[3]), atof(argv[4]));
	else if (argc == 5 && strcmp(verb, "readdir") == 0)
		read_directory(argv[2], atoi(argv[3]), atof(argv[4]));
	else if (argc == 4 && strcmp(verb, "read") == 0)
		read_file(argv[2], atol(argv[3]));
	else {
		fprintf(stderr, "usage: load append|append-each FILE WRITERS SECONDS | stat FORMAT COUNT SECONDS | readdir DIR ENTRIES SECONDS | read FILE BYTES\n");
		return 2;
	}
	return 0;
}
