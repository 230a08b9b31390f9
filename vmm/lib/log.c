// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/fatal.h"
#include "vmm/lib/loop.h"
#include "vmm/lib/outlet.h"
#include "vmm/lib/text.h"
#include "vmm/lib/wake.h"

#define LINE_MAX_BYTES 1024
#define PATIENCE_MS    1000

/*
 * Writable state of file scope, an exception: standard error belongs to the process, and so do the
 * lines that wait for it; callers have no handle for it.
 */
static struct {
	pthread_mutex_t
		lock;	  /* held for calls that do not wait, but by main once the loop has ended */
	bool never_waits; /* log_attach() was called: the members below are valid */
	struct outlet outlet;
	struct loop *loop; /* NULL after log_detach() */
	pthread_t main;
	struct loop_source source;
	struct loop_source wake; /* an eventfd: another thread's line is held */
	struct fatal_undo undo;
	bool in_loop;
	bool deaf; /* standard error was not read in time: do not wait again */
	char held[LOG_HELD];
	size_t used;
	unsigned long lost;
} out = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- called with the lock --------------------------------------------------------------------- */

static bool hold(const char *line, size_t length)
{
	bool room = length <= sizeof(out.held) - out.used;
	if (room) {
		memcpy(out.held + out.used, line, length);
		out.used += length;
	}
	return room;
}

/* Reports the number of lost lines in their place. Returns false if there is no room for it. */
static bool hold_lost(void)
{
	char line[128];
	if (!out.lost)
		return true;
	int length = snprintf(
		line, sizeof(line),
		"ebb: warning: %lu messages were lost, because standard error was not read\n",
		out.lost);
	if (!hold(line, length))
		return false;
	out.lost = 0;
	return true;
}

/* Writes as much as standard error takes. */
static void drain(void)
{
	while (out.used || out.lost) {
		if (!out.used)
			hold_lost();
		ssize_t written = outlet_write(&out.outlet, out.held, out.used);
		if (written == -EAGAIN)
			return;
		if (written == -EINTR)
			continue;
		/* If standard error itself fails, there is no place to report that. */
		if (written < 0) {
			out.used = out.lost = 0;
			return;
		}
		out.used -= written;
		memmove(out.held, out.held + written, out.used);
	}
}

/* Lets the loop write the rest; if that fails, the next line writes it. */
static void leave_to_loop(void)
{
	if (!out.used || !out.loop || out.in_loop)
		return;
	if (loop_add(out.loop, &out.source) != 0)
		return;
	out.in_loop = loop_wait_for(out.loop, &out.source, true) == 0;
	if (!out.in_loop)
		loop_remove(out.loop, &out.source);
}

static void wait_and_drain(void)
{
	struct pollfd pollfd = {.fd = out.outlet.fd, .events = POLLOUT};
	for (drain(); out.used && !out.deaf; drain())
		out.deaf = poll(&pollfd, 1, PATIENCE_MS) == 0;
}

static void say(const char *line, size_t length)
{
	if (!hold_lost() || !hold(line, length))
		out.lost++;
	/* Of another thread, whose sandbox need not know what standard error is. After log_detach(), main's next line brings it. */
	if (!pthread_equal(pthread_self(), out.main)) {
		if (out.loop)
			wake_ring(out.wake.fd);
	} else if (out.loop) {
		drain();
		leave_to_loop();
	} else {
		wait_and_drain();
	}
}

/* --- standard error while a guest runs -------------------------------------------------------- */

static void writable(void *ctx)
{
	(void)ctx;
	pthread_mutex_lock(&out.lock);
	drain();
	if (!out.used) {
		loop_remove(out.loop, &out.source);
		out.in_loop = false;
	}
	pthread_mutex_unlock(&out.lock);
}

static void woken(void *ctx)
{
	(void)ctx;
	wake_take(out.wake.fd);
	pthread_mutex_lock(&out.lock);
	drain();
	leave_to_loop();
	pthread_mutex_unlock(&out.lock);
}

/* In a signal handler: what is held, unless a thread is just about it. */
static void last_words(void *ctx)
{
	(void)ctx;
	if (pthread_mutex_trylock(&out.lock) != 0)
		return;
	drain();
	pthread_mutex_unlock(&out.lock);
}

/* Without an eventfd, lines of other threads wait for the next of the main thread. */
static void listen_to_others(struct loop *loop)
{
	out.wake = (struct loop_source){wake_open(), woken, NULL};
	if (out.wake.fd >= 0)
		loop_add(loop, &out.wake);
	out.undo.undo = last_words;
	fatal_undo_add(&out.undo);
}

static void stop_listening(struct loop *loop)
{
	fatal_undo_remove(&out.undo);
	if (out.wake.fd < 0)
		return;
	loop_remove(loop, &out.wake);
	close(out.wake.fd);
}

void log_attach(struct loop *loop)
{
	pthread_mutex_lock(&out.lock);
	if (!out.never_waits)
		outlet_init(&out.outlet, STDERR_FILENO);
	if (!out.loop) {
		out.loop = loop;
		out.main = pthread_self();
		out.source = (struct loop_source){out.outlet.fd, writable, NULL};
		listen_to_others(loop);
	}
	out.never_waits = true;
	pthread_mutex_unlock(&out.lock);
}

void log_detach(struct loop *loop)
{
	pthread_mutex_lock(&out.lock);
	if (out.loop == loop) {
		if (out.in_loop)
			loop_remove(loop, &out.source);
		out.in_loop = false;
		out.loop = NULL;
		stop_listening(loop);
		wait_and_drain();
	}
	pthread_mutex_unlock(&out.lock);
}

/* --- lines ------------------------------------------------------------------------------------ */

static void write_line(const char *line, size_t length)
{
	pthread_mutex_lock(&out.lock);
	bool simply = !out.never_waits;
	if (!simply)
		say(line, length);
	pthread_mutex_unlock(&out.lock);
	if (!simply)
		return;
	ssize_t ignored = write(STDERR_FILENO, line, length);
	(void)ignored;
}

static void log_line(const char *prefix, const char *format, va_list args, const char *suffix)
{
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
	size_t length = snprintf(text, sizeof(text), "ebb: %s", prefix);
	vsnprintf(text + length, sizeof(text) - length, format, args);
	length = strlen(text);
	snprintf(text + length, sizeof(text) - length, "%s", suffix);
	/* The text may hold a file's name, with any bytes. The last byte is for the newline. */
	text_escape(line, sizeof(line) - 1, text, false);
	length = strlen(line);
	line[length++] = '\n';
	write_line(line, length);
}

void log_info(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line("", format, args, "");
	va_end(args);
}

void log_error(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line("", format, args, "");
	va_end(args);
}

void log_warn(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line("warning: ", format, args, "");
	va_end(args);
}

void log_guest(struct log_limit *limit, const char *format, ...)
{
	/* Check before counting: a counter that a guest raises for ever would wrap, and lines
	 * would be logged again. */
	if (atomic_load(&limit->lines) >= LOG_LIMIT_LINES)
		return;
	unsigned int line = atomic_fetch_add(&limit->lines, 1);
	if (line >= LOG_LIMIT_LINES)
		return;

	va_list args;
	va_start(args, format);
	log_line("guest: ", format, args,
		 line + 1 == LOG_LIMIT_LINES ? " (further lines of this kind are withheld)" : "");
	va_end(args);
}
