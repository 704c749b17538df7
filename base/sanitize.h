/*
 * sanitize: what a program has to know of the sanitizers it may be built with.
 *
 * SANITIZE_SHADOW is 1 when the address space is reserved by the terabyte for shadow memory: a
 * limit on it would stop such a program at once.
 */
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZE_SHADOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZE_SHADOW 1
#endif
#endif
#ifndef SANITIZE_SHADOW
#define SANITIZE_SHADOW 0
#endif
