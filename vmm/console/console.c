// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation
 *
 * Input: handled on the loop's thread alone. Bytes go into held[], and from there into the device as
 * far as it takes them. A pipe or a file is not read again before held[] is empty, a terminal not
 * while held[] is full and the guest takes input; console_resume() only rings an eventfd, so that
 * no state is shared with vCPU threads.
 *
 * Output: of a UART it is written by the vCPU's thread itself, with one system call for each byte, where that is write(2)
 * (vmm/lib/outlet.h). If it is not, or there is no room, the loop's thread writes it, and the vCPU's waits for that, or
 * for console_hangup(). What goes to a file by way of another process is dropped instead (config.drops).
 * A device that has a worker does not wait here: console_try_write().
 */
#include "vmm/console/console.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/terminal.h"
#include "vmm/lib/wake.h"

#define CTRL_A	 0x01
#define ESC	 0x1b
#define READ_MAX 256

/* --- input ----------------------------------------------------------------------------------- */

static void input_pause(struct console *console)
{
	if (console->reading)
		loop_remove(console->loop, &console->input);
	console->reading = false;
}

static int input_continue(struct console *console)
{
	if (console->reading || console->ended)
		return 0;
	int err = loop_add(console->loop, &console->input);
	console->reading = err == 0;
	return err;
}

/* Gives the device as much as it takes; console_resume() is called when it can take more. */
static void input_push(struct console *console)
{
	size_t taken = console->config.receive(
		console->config.ctx, console->held + console->held_first, console->held_count);
	console->held_first += taken;
	console->held_count -= taken;
}

static void input_hold(struct console *console, const uint8_t *data, size_t len)
{
	memmove(console->held, console->held + console->held_first, console->held_count);
	console->held_first = 0;
	if (len > CONSOLE_HELD - console->held_count) {
		len = CONSOLE_HELD - console->held_count;
		if (!console->loss_told)
			log_warn(
				"the guest does not read its console: input beyond %d bytes is lost (this is reported once)",
				CONSOLE_HELD);
		console->loss_told = true;
	}
	memcpy(console->held + console->held_count, data, len);
	console->held_count += len;
}

/* Takes the escape keys out of @data and acts on them. Returns how many bytes are left. */
static size_t input_escapes(struct console *console, uint8_t *data, size_t len)
{
	size_t left = 0;
	for (size_t i = 0; i < len; i++) {
		uint8_t key = data[i];
		bool escaped = console->escape;
		console->escape = !escaped && key == CTRL_A;
		if (!escaped && key != CTRL_A)
			data[left++] = key;
		if (!escaped)
			continue;
		if (key == CTRL_A)
			data[left++] = CTRL_A;
		else if (key == 'x')
			console->config.quit(console->config.ctx);
		else if (key == 'h')
			log_info("Ctrl-A x ends ebb, Ctrl-A Ctrl-A sends one Ctrl-A, "
				 "Ctrl-A h shows this help");
	}
	return left;
}

static bool input_is_full(const struct console *console)
{
	return CONSOLE_HELD - console->held_count < READ_MAX;
}

/* Holds up a paste until the guest has taken some of it, or CONSOLE_PATIENCE_MS is over. */
static void input_hold_up(struct console *console)
{
	input_pause(console);
	wake_timer_at(console->patience.fd, clock_ns() + CONSOLE_PATIENCE_MS * NS_PER_MS);
}

static void patience_ended(void *ctx)
{
	struct console *console = ctx;
	wake_take(console->patience.fd);
	console->deaf = input_is_full(console);
	if (input_continue(console) != 0)
		console->ended = true;
}

static void input_ready(void *ctx)
{
	struct console *console = ctx;
	uint8_t data[READ_MAX];

	/* In the background the keys are meant for the shell; console_continued() goes on. */
	if (console->terminal && !terminal_is_ours(STDIN_FILENO)) {
		input_pause(console);
		return;
	}
	if (console->terminal && input_is_full(console) && !console->deaf) {
		input_hold_up(console);
		return;
	}
	ssize_t len = read(console->input_fd, data, sizeof(data));
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len < 0 && errno != EIO)
		log_warn("standard input: %s; the guest gets no more input", strerror(errno));
	if (len <= 0) {
		input_pause(console);
		console->ended = true;
		return;
	}
	size_t keys = console->terminal ? input_escapes(console, data, len) : (size_t)len;
	input_hold(console, data, keys);
	input_push(console);
	if (console->held_count && !console->terminal)
		input_pause(console);
}

static void resume_ready(void *ctx)
{
	struct console *console = ctx;
	wake_take(console->resume.fd);

	input_push(console);
	if (!input_is_full(console)) {
		console->deaf = false;
		wake_timer_at(console->patience.fd, 0);
	}
	bool more = console->terminal ? !input_is_full(console) : console->held_count == 0;
	if (more && input_continue(console) != 0)
		console->ended = true;
}

void console_resume(struct console *console)
{
	wake_ring(console->resume.fd);
}

void console_continued(struct console *console)
{
	if (!console->terminal)
		return;
	if (terminal_is_ours(STDIN_FILENO))
		terminal_raw(STDIN_FILENO);
	if (input_continue(console) != 0)
		console->ended = true;
}

static int input_init(struct console *console)
{
	int own = outlet_reopen(STDIN_FILENO, O_RDONLY);
	console->input_fd = own >= 0 ? own : STDIN_FILENO;
	console->input.fd = console->input_fd;
	console->terminal = isatty(STDIN_FILENO);

	int err = input_continue(console);
	if (err == -EPERM) {
		/* A file or /dev/null is always ready, but epoll does not support it. */
		console->input.fd = wake_open();
		if (console->input.fd < 0)
			return console->input.fd;
		wake_ring(console->input.fd);
		err = input_continue(console);
	}
	return err;
}

int console_begin(struct console *console)
{
	int err = 0;
	if (console->terminal && terminal_is_ours(STDIN_FILENO))
		err = terminal_raw(STDIN_FILENO);
	if (err)
		log_error("cannot take the terminal for the guest: %s", strerror(-err));
	return err;
}

/* --- output ---------------------------------------------------------------------------------- */

/* Warns once, but not if the reader has left, since the user knows that. */
static void output_failed(struct console *console, int error)
{
	bool told = atomic_exchange(&console->silent, true);
	if (!told && error != EPIPE && error != EIO)
		log_warn("standard output: %s; the guest's output is dropped", strerror(error));
}

ssize_t console_try_write(struct console *console, const uint8_t *data, size_t len)
{
	ssize_t written = -EINTR;

	if (memchr(data, ESC, len) && !atomic_load(&console->asked))
		atomic_store(&console->asked, true);
	while (written == -EINTR && !atomic_load(&console->silent))
		written = outlet_write(&console->output, data, len);
	if (written >= 0 || written == -EAGAIN)
		return written;
	if (written != -EINTR)
		output_failed(console, (int)-written);
	return (ssize_t)len;
}

/* As console_try_write(), but -EAGAIN only if somebody may wait. */
static ssize_t write_or_drop(struct console *console, const uint8_t *data, size_t len)
{
	ssize_t written = console_try_write(console, data, len);

	if (written != -EAGAIN || !console->config.drops)
		return written;
	if (!atomic_exchange(&console->drop_told, true))
		log_warn("the console's file takes no more at the moment: what the guest writes "
			 "until it does is lost (this is reported once)");
	return (ssize_t)len;
}

/* On the loop's thread, with the lock. */
static void wait_for_room(struct console *console, bool wait)
{
	int err = 0;

	if (wait == console->waits)
		return;
	if (wait)
		err = loop_add(console->loop, &console->room);
	if (wait && !err)
		err = loop_wait_for(console->loop, &console->room, true);
	if (!wait || err)
		loop_remove(console->loop, &console->room);
	console->waits = wait && !err;
	/* Nobody would ever tell that there is room. */
	if (err) {
		output_failed(console, -err);
		console->left = 0;
	}
}

/* There is something to write, or room for it. */
static void output_ready(void *ctx)
{
	struct console *console = ctx;
	ssize_t written = 0;

	wake_take(console->asked_to.fd);
	pthread_mutex_lock(&console->lock);
	while (console->left && written != -EAGAIN) {
		written = write_or_drop(console, console->data, console->left);
		if (written > 0) {
			console->data += written;
			console->left -= (size_t)written;
		}
	}
	wait_for_room(console, console->left > 0);
	if (!console->left)
		pthread_cond_broadcast(&console->written);
	pthread_mutex_unlock(&console->lock);
}

/* Returns when the loop's thread has written all of it, or after console_hangup(). */
static void leave_to_loop(struct console *console, const uint8_t *data, size_t len)
{
	pthread_mutex_lock(&console->turn);
	pthread_mutex_lock(&console->lock);
	console->data = data;
	console->left = len;
	wake_ring(console->asked_to.fd);
	while (console->left && !atomic_load(&console->silent))
		pthread_cond_wait(&console->written, &console->lock);
	console->left = 0;
	pthread_mutex_unlock(&console->lock);
	pthread_mutex_unlock(&console->turn);
}

void console_write(struct console *console, const uint8_t *data, size_t len)
{
	while (len && console->output.kind == OUTLET_PLAIN) {
		ssize_t written = write_or_drop(console, data, len);
		if (written == -EAGAIN)
			break;
		data += written;
		len -= (size_t)written;
	}
	if (len)
		leave_to_loop(console, data, len);
}

void console_hangup(struct console *console)
{
	pthread_mutex_lock(&console->lock);
	atomic_store(&console->silent, true);
	pthread_cond_broadcast(&console->written);
	pthread_mutex_unlock(&console->lock);
}

/* --- both ------------------------------------------------------------------------------------ */

bool console_size(uint16_t *columns, uint16_t *rows)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 &&
	    ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
		return false;
	*columns = size.ws_col;
	*rows = size.ws_row;
	return true;
}

int console_init(struct console *console, struct loop *loop, const struct console_config *config)
{
	memset(console, 0, sizeof(*console));
	console->loop = loop;
	console->config = *config;
	console->ended = !config->input;
	atomic_init(&console->silent, config->output < 0);
	console->input = (struct loop_source){STDIN_FILENO, input_ready, console};
	console->resume = (struct loop_source){-1, resume_ready, console};
	console->patience = (struct loop_source){-1, patience_ended, console};
	console->asked_to = (struct loop_source){-1, output_ready, console};
	pthread_mutex_init(&console->turn, NULL);
	pthread_mutex_init(&console->lock, NULL);
	pthread_cond_init(&console->written, NULL);
	console->input_fd = STDIN_FILENO;
	outlet_init(&console->output, config->output < 0 ? STDOUT_FILENO : config->output);

	int err = 0;
	console->room = (struct loop_source){console->output.fd, output_ready, console};
	console->asked_to.fd = wake_open();
	console->resume.fd = wake_open();
	console->patience.fd = wake_timer_open();
	if (console->asked_to.fd < 0 || console->resume.fd < 0 || console->patience.fd < 0)
		err = -EMFILE;
	if (!err)
		err = loop_add(loop, &console->resume);
	if (!err)
		err = loop_add(loop, &console->asked_to);
	if (!err)
		err = loop_add(loop, &console->patience);
	if (!err && config->input)
		err = input_init(console);
	if (err) {
		log_error("cannot set up the console: %s", strerror(-err));
		console_release(console);
	}
	return err;
}

static void close_own(int *fd, int standard)
{
	if (*fd >= 0 && *fd != standard)
		close(*fd);
	*fd = standard;
}

void console_release(struct console *console)
{
	if (atomic_load(&console->asked))
		terminal_discard_answers();
	terminal_restore();
	input_pause(console);
	console->ended = true;
	if (console->resume.fd >= 0)
		loop_remove(console->loop, &console->resume);
	if (console->patience.fd >= 0)
		loop_remove(console->loop, &console->patience);
	if (console->asked_to.fd >= 0)
		loop_remove(console->loop, &console->asked_to);
	wait_for_room(console, false);
	if (console->input.fd >= 0 && console->input.fd != console->input_fd)
		close(console->input.fd);
	console->input.fd = STDIN_FILENO;
	close_own(&console->input_fd, STDIN_FILENO);
	outlet_release(&console->output);
	close_own(&console->resume.fd, -1);
	close_own(&console->patience.fd, -1);
	close_own(&console->asked_to.fd, -1);
}
