/*
 * limits: every bound of the project in one list, each with its reason. A buffer, a table or a
 * message that outside bytes can grow has its ceiling here; what exceeds it is refused with
 * ERR_LIMIT and the name of the limit, never cut.
 */
#pragma once

/* one name (site part, app, workload): a DNS label and NATS token */
#define LIMIT_NAME_BYTES    64
#define LIMIT_REF_BYTES     136  /* "namespace/app/workload" or "provider/region", terminated */
#define LIMIT_ID_BYTES      40   /* generated ids: handoffs, instances, commands */
#define LIMIT_TEXT_BYTES    256  /* a sentence in a report, a reason */
#define LIMIT_PATH_BYTES    1024 /* a path or an address */
#define LIMIT_DIGEST_BYTES  80   /* "sha256:" and 64 hex digits */
#define LIMIT_SUBJECT_BYTES 256  /* a NATS subject */
#define LIMIT_TAGS          16   /* tags of one site, node or workload */
/* sites of a world: the exact solver's table is sites x workloads */
#define LIMIT_SITES          256
#define LIMIT_NODES          4096  /* nodes of a scheduler */
#define LIMIT_APPS           1024  /* apps of a scheduler */
#define LIMIT_APP_WORKLOADS  256   /* workloads of one app */
#define LIMIT_APP_LINKS      1024  /* links of one app */
#define LIMIT_REPLICAS       64    /* replicas of one workload */
#define LIMIT_ARGS           64    /* arguments of a workload's command */
#define LIMIT_ENV            64    /* environment entries of a workload */
#define LIMIT_RULES          64    /* placement rules of one app */
#define LIMIT_TIERS          16    /* steps of one price */
#define LIMIT_EGRESS_RULES   1024  /* egress price rules of a world */
#define LIMIT_LATENCY_PAIRS  65536 /* declared latencies of a world: sites squared */
#define LIMIT_ACCOUNTS       64    /* provider accounts of a world */
#define LIMIT_SEGMENTS       64    /* user segments of an app */
#define LIMIT_VARIANTS       8     /* variants of a workload */
#define LIMIT_CURVE          16    /* points of a hit curve */
#define LIMIT_MEASURES       32    /* named measures of a site or a workload */
#define LIMIT_CUSTOM_TERMS   16    /* custom terms of a world */
#define LIMIT_FORMULA_BYTES  512   /* the text of one formula */
#define LIMIT_FORMULA_NODES  128   /* its operands and operators */
#define LIMIT_QUIET          8     /* quiet hours of a policy */
#define LIMIT_FAMILY         5     /* parts of one split workload: choices grow as 2^(n-1) */
#define LIMIT_CHOICES        8192  /* (site, variant, sharers) of one part */
#define LIMIT_USES           64    /* meters that one choice, or one pair of choices, meets */
#define LIMIT_RESOURCES      4     /* cpu, memory, and two for later */
#define LIMIT_HANDOFFS       1024  /* handoffs under way at once */
#define LIMIT_STARTS         128   /* first starts and removals under way at once: the rest waits */
#define LIMIT_NODE_STARTS    16    /* of them on one node, which forks for each */
#define LIMIT_ORDERS         256   /* unanswered commands of no handoff: STOP and FORGET */
#define LIMIT_NODE_ORDERS    32    /* of them to one node */
#define LIMIT_INSTANCES      8192  /* instances a scheduler remembers */
#define LIMIT_NODE_INSTANCES 256   /* instances on one node */
#define LIMIT_EFFECTS        4096  /* effects of one step */
#define LIMIT_COMMANDS       1024  /* commands without an answer yet */
#define LIMIT_DOC_BYTES      (4 << 20) /* one YAML or JSON document */
#define LIMIT_DOC_DEPTH      32        /* nesting of a document */
#define LIMIT_DOC_PROBLEMS   64 /* problems reported for one document before it says "and more" */
/* one message on the bus: nats-server's default max_payload */
#define LIMIT_WIRE_BYTES      (1 << 20)
#define LIMIT_BUS_QUEUE       8192       /* messages waiting between NATS's threads and the loop */
#define LIMIT_BUS_QUEUE_BYTES (64 << 20) /* and their bytes, as a message may have a whole MiB */
#define LIMIT_METRIC_SERIES   65536      /* (workload, site) series with windows in memory */
#define LIMIT_SAMPLES_BATCH   1024       /* samples in one metrics batch */
#define LIMIT_SKETCHES_BATCH  256        /* sketches in one metrics batch */
/* of one sketch: at an error of 0.54 % they cover a range of 1 to 2^32 */
#define LIMIT_SKETCH_BUCKETS  2048
#define LIMIT_HANDED_BYTES    4095  /* text that an owner hands over in its own words */
#define LIMIT_SOCKET_LINE     4608  /* a line of the workload contract: that text, and a word */
#define LIMIT_OPERATION_STEPS 4096  /* moves of one operation */
#define LIMIT_ROUTES          1024  /* HTTP routes of a scheduler, and of an ingress */
#define LIMIT_INGRESSES       32    /* nodes that are an ingress */
#define ROUTE_WEIGHT_MAX      256   /* of one server, as HAProxy counts */
#define LIMIT_LOG_LINE        16384 /* a log line of a workload; longer ones are split */
/* What a probe takes from others (metrics/). */
#define LIMIT_METRIC_LINE       (64 << 10) /* one line of a metrics page */
#define LIMIT_METRIC_LABELS     64         /* labels of one series */
#define LIMIT_METRIC_NAME_BYTES 256        /* a metric's name, terminated */
#define LIMIT_HISTOGRAM_BUCKETS 256        /* buckets of one classic histogram */
#define LIMIT_PAGE_BYTES        (64 << 20) /* one metrics page, unpacked */
#define LIMIT_PAGE_SERIES       262144     /* series of one metrics page */
#define LIMIT_OTLP_BYTES        (8 << 20)  /* the body of one OTLP request, unpacked */
#define LIMIT_PROBE_TARGETS     16384      /* pages that one probe scrapes */
#define LIMIT_PROBE_PATHS       1024       /* ways whose latency one probe measures */
#define LIMIT_PROBE_RENAMES     64        /* metrics that one target's configuration names itself */
#define LIMIT_PROBE_SERIES      (1 << 20) /* series with a meaning that one probe follows */
/* What a price feed may hold (model/feeds/). */
#define LIMIT_FEED_ROW_BYTES  (256 << 10) /* one row of a table */
#define LIMIT_FEED_COLUMNS    512         /* its fields; the largest list of AWS has about 100 */
#define LIMIT_FEED_TEXT_BYTES (64 << 10)  /* one string of a JSON feed */
#define LIMIT_FEED_KEY_BYTES  128         /* one key of it */
#define LIMIT_FEED_SKUS       (1 << 20)   /* offers of one feed that mean something here */
#define LIMIT_FEED_PAGES      10000       /* pages of one feed */
#define LIMIT_FEED_FIGURES    65536       /* figures of a price book */
#define LIMIT_FEED_VERSIONS   512         /* values that a figure had, the last ones */
