// SPDX-License-Identifier: Apache-2.0
/*
 * The reclaim queue ("report now"). As with statistics, the device keeps the driver's chain until
 * there is a request; then the chain goes back with it, and the next chain has the answer.
 * README.md beside this file has the specification.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "devices/virtio-balloon/internal.h"
#include "vmm/lib/clock.h"
#include "devices/virtio-balloon/reclaim.h"

#define NS_PER_MS 1000000ULL

/* The driver's time if the request has none. */
#define TIMEOUT_MS 1000

/* Ends the request, with the balloon's lock held. The caller calls the owner's hook after unlocking. */
static void end(struct balloon *balloon, enum balloon_reclaim_state state, uint64_t now)
{
	struct balloon_reclaim *reclaim = &balloon->reclaim;
	reclaim->view.state = state;
	reclaim->view.elapsed = now > reclaim->asked ? now - reclaim->asked : 0;
}

static void tell(struct balloon *balloon)
{
	if (balloon->reclaimed)
		balloon->reclaimed(balloon->reclaimed_ctx);
}

/* Ends a request that the driver cannot answer any more. */
static void abandon(struct balloon *balloon, bool forget_chain)
{
	pthread_mutex_lock(&balloon->lock);
	bool asked = balloon->reclaim.view.state == BALLOON_RECLAIM_ASKED;
	if (asked)
		end(balloon, BALLOON_RECLAIM_GONE, clock_ns());
	if (forget_chain)
		balloon->reclaim.sent = false;
	pthread_mutex_unlock(&balloon->lock);
	if (asked)
		tell(balloon);
}

/* --- the driver's side: on the worker -------------------------------------------------------- */

/* Limits a value from the guest to the size of its RAM. */
static uint64_t bytes_of(const struct balloon *balloon, uint64_t value)
{
	uint64_t size = ram_size(balloon->dev.host->ram);
	value = le64toh(value);
	return value < size ? value : size;
}

static enum balloon_reclaim_state state_of(uint32_t status)
{
	switch (le32toh(status)) {
	case RECLAIM_DONE:
		return BALLOON_RECLAIM_DONE;
	case RECLAIM_TIMEOUT:
		return BALLOON_RECLAIM_TIMEOUT;
	default:
		return BALLOON_RECLAIM_FAILED;
	}
}

static int answered(struct balloon *balloon, const struct reclaim_response *response)
{
	struct balloon_reclaim *reclaim = &balloon->reclaim;

	pthread_mutex_lock(&balloon->lock);
	bool right = le32toh(response->id) == (reclaim->sent ? reclaim->id : 0);
	/* Drop the answer to a request that was given up, but take its chain back. */
	bool wanted = right && reclaim->sent && reclaim->view.state == BALLOON_RECLAIM_ASKED;
	if (right)
		reclaim->sent = false;
	if (wanted) {
		reclaim->view.answer = (struct balloon_reclaim_answer){
			.drained = bytes_of(balloon, response->drained),
			.cache = bytes_of(balloon, response->cache),
			.compacted = bytes_of(balloon, response->compacted),
			.reported = bytes_of(balloon, response->reported),
			.free = bytes_of(balloon, response->free),
			.elapsed_ms = le32toh(response->elapsed_ms),
		};
		end(balloon, state_of(response->status), clock_ns());
		atomic_fetch_add(&balloon->counters.reclaim.answered, 1);
	}
	pthread_mutex_unlock(&balloon->lock);
	if (wanted)
		tell(balloon);
	return right ? 0 : -EPROTO;
}

bool balloon_reclaim_fits(const struct balloon *balloon, const struct virtq_chain *chain)
{
	return chain->buffers == 2 && chain->readable == 1 &&
	       chain->buffer[0].len == sizeof(struct reclaim_response) &&
	       chain->buffer[1].len == sizeof(struct reclaim_request) &&
	       ram_at(balloon->dev.host->ram, chain->buffer[1].gpa, chain->buffer[1].len);
}

/* Reads the chain's answer and keeps the chain for the next request. */
static int take(struct balloon *balloon, const struct virtq_chain *chain)
{
	const struct ram *ram = balloon->dev.host->ram;
	struct reclaim_response response;

	/* A second chain is an error: with one held, there is no request to answer. */
	if (balloon->reclaim_held)
		return -EPROTO;
	if (!balloon_reclaim_fits(balloon, chain) ||
	    ram_read(ram, chain->buffer[0].gpa, &response, sizeof(response)))
		return -EPROTO;
	if (answered(balloon, &response))
		return -EPROTO;
	balloon->reclaim_chain = *chain;
	balloon->reclaim_held = true;
	return 0;
}

/* Sets *@request and returns true if there is one to send. It counts as sent from now on. */
static bool next_request(struct balloon *balloon, struct reclaim_request *request)
{
	struct balloon_reclaim *reclaim = &balloon->reclaim;

	pthread_mutex_lock(&balloon->lock);
	bool wanted = reclaim->view.state == BALLOON_RECLAIM_ASKED && !reclaim->sent;
	if (wanted) {
		reclaim->sent = true;
		*request = (struct reclaim_request){
			.id = htole32(reclaim->id),
			.flags = htole32(reclaim->request.compact ? RECLAIM_COMPACT : 0),
			.timeout_ms = htole32(reclaim->request.timeout_ms),
			.cache = htole64(reclaim->request.cache),
		};
	}
	pthread_mutex_unlock(&balloon->lock);
	return wanted;
}

static void give_back(struct balloon *balloon, struct virtq *q)
{
	const struct virtq_chain *chain = &balloon->reclaim_chain;
	struct reclaim_request request;

	if (!balloon->reclaim_held || !next_request(balloon, &request))
		return;
	/* Cannot fail: take() has checked that it is RAM, and RAM does not go away. */
	ram_write(balloon->dev.host->ram, chain->buffer[1].gpa, &request, sizeof(request));
	virtq_push(q, chain, sizeof(request));
	balloon->reclaim_held = false;
}

int balloon_reclaim_work(struct balloon *balloon, struct virtq *q)
{
	struct virtq_chain chain;

	int popped = virtq_pop(q, &chain);
	if (popped < 0 || (popped > 0 && take(balloon, &chain))) {
		abandon(balloon, false);
		return -EPROTO;
	}
	give_back(balloon, q);
	return virtq_empty(q) ? 0 : -EAGAIN;
}

void balloon_reclaim_reset(struct balloon *balloon)
{
	/* The chain is the guest's again, and the driver that had the request is gone. */
	balloon->reclaim_held = false;
	abandon(balloon, true);
}

/* --- the host's side: any thread ------------------------------------------------------------- */

int balloon_reclaim(struct balloon *balloon, const struct balloon_reclaim_request *request,
		    uint64_t now)
{
	struct balloon_reclaim *reclaim = &balloon->reclaim;
	uint32_t timeout_ms = request->timeout_ms ? request->timeout_ms : TIMEOUT_MS;
	int error = 0;

	pthread_mutex_lock(&balloon->lock);
	if (!(balloon->dev.features_offered & 1ULL << VIRTIO_BALLOON_F_EBB_RECLAIM))
		error = -EOPNOTSUPP;
	else if (!balloon->driver)
		error = -ENODEV;
	else if (!balloon_reclaims(balloon))
		error = -EOPNOTSUPP;
	else if (reclaim->view.state == BALLOON_RECLAIM_ASKED || reclaim->sent)
		error = -EBUSY;
	if (!error) {
		/* 0 would mark an answer to no request. */
		reclaim->id = reclaim->id == UINT32_MAX ? 1 : reclaim->id + 1;
		reclaim->request = *request;
		reclaim->asked = now;
		reclaim->view = (struct balloon_reclaim_view){
			.state = BALLOON_RECLAIM_ASKED,
			.deadline =
				now + NS_PER_MS * ((uint64_t)timeout_ms + BALLOON_RECLAIM_GRACE_MS),
		};
		atomic_fetch_add(&balloon->counters.reclaim.requests, 1);
	}
	pthread_mutex_unlock(&balloon->lock);
	if (!error)
		balloon_wake(balloon, BALLOON_RECLAIM);
	return error;
}

struct balloon_reclaim_view balloon_reclaim_view(struct balloon *balloon, uint64_t now)
{
	pthread_mutex_lock(&balloon->lock);
	struct balloon_reclaim *reclaim = &balloon->reclaim;
	if (reclaim->view.state == BALLOON_RECLAIM_ASKED) {
		end(balloon, BALLOON_RECLAIM_ASKED, now);
		if (now >= reclaim->view.deadline) {
			reclaim->view.state = BALLOON_RECLAIM_UNANSWERED;
			atomic_fetch_add(&balloon->counters.reclaim.timeouts, 1);
		}
	}
	struct balloon_reclaim_view view = reclaim->view;
	pthread_mutex_unlock(&balloon->lock);
	return view;
}

bool balloon_reclaims(const struct balloon *balloon)
{
	return (balloon->dev.features & BALLOON_RECLAIM_FEATURES) == BALLOON_RECLAIM_FEATURES;
}
