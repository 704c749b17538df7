/* How far apart two sites are, and what a round trip between them takes at least likely. Integers
 * only: the same bits on every machine. */
#include "model/cost_internal.h"

#define UNIT            INT64_C(1000000000) /* 1.0 in the fixed point used here */
#define UDEG_PER_DEGREE INT64_C(1000000)
#define EARTH_RADIUS_M  INT64_C(6371000) /* mean radius */
#define RTT_BASE_US     2000             /* access, queues and ends, both ways */
#define RTT_US_PER_KM   15 /* light in fibre at 2/3 c: 5 us per km, x 2 ways, x 1.5 for the path */

static int64_t sine(int64_t udeg);
static int64_t cosine(int64_t udeg);
static int64_t square_root(uint64_t value);
static int64_t arc_of(int64_t value);

/* The sine of 0 to 90 degrees, in units of 1e-9. */
static const int64_t sine_table[] = {
    0,         17452406,  34899497,   52335956,  69756474,  87155743,  104528463, 121869343,
    139173101, 156434465, 173648178,  190808995, 207911691, 224951054, 241921896, 258819045,
    275637356, 292371705, 309016994,  325568154, 342020143, 358367950, 374606593, 390731128,
    406736643, 422618262, 438371147,  453990500, 469471563, 484809620, 500000000, 515038075,
    529919264, 544639035, 559192903,  573576436, 587785252, 601815023, 615661475, 629320391,
    642787610, 656059029, 669130606,  681998360, 694658370, 707106781, 719339800, 731353702,
    743144825, 754709580, 766044443,  777145961, 788010754, 798635510, 809016994, 819152044,
    829037573, 838670568, 848048096,  857167301, 866025404, 874619707, 882947593, 891006524,
    898794046, 906307787, 913545458,  920504853, 927183855, 933580426, 939692621, 945518576,
    951056516, 956304756, 961261696,  965925826, 970295726, 974370065, 978147601, 981627183,
    984807753, 987688341, 990268069,  992546152, 994521895, 996194698, 997564050, 998629535,
    999390827, 999847695, 1000000000,
};

int64_t cost_distance_rtt_us(const struct site *a, const struct site *b)
{
    if (!a->located || !b->located) {
        return -1;
    }
    return RTT_BASE_US + cost_distance_m(a, b) * RTT_US_PER_KM / 1000;
}

/* The chord between two points of the unit sphere, then the angle whose half has that sine. */
int64_t cost_distance_m(const struct site *a, const struct site *b)
{
    const struct site *sites[2] = {a, b};
    int64_t point[2][3];
    for (int i = 0; i < 2; i++) {
        int64_t flat = cosine(sites[i]->latitude_udeg);
        point[i][0] = flat * cosine(sites[i]->longitude_udeg) / UNIT;
        point[i][1] = flat * sine(sites[i]->longitude_udeg) / UNIT;
        point[i][2] = sine(sites[i]->latitude_udeg);
    }
    uint64_t square = 0; /* of a chord, at most 2 UNIT long */
    for (int axis = 0; axis < 3; axis++) {
        int64_t side = point[0][axis] - point[1][axis];
        square += (uint64_t)(side * side);
    }
    int64_t half = arc_of(square_root(square) / 2);
    /* The angle is twice that: the arc is R x angle x pi / 180. */
    const int64_t pi_nano = INT64_C(3141592654);
    return (int64_t)((__int128)EARTH_RADIUS_M * 2 * half * pi_nano / 180 / UDEG_PER_DEGREE / UNIT);
}

/* Between two table entries the sine is taken as a straight line: off by at most 4e-5. */
static int64_t sine(int64_t udeg)
{
    udeg %= 360 * UDEG_PER_DEGREE;
    if (udeg < 0) {
        udeg += 360 * UDEG_PER_DEGREE;
    }
    if (udeg >= 180 * UDEG_PER_DEGREE) {
        return -sine(udeg - 180 * UDEG_PER_DEGREE);
    }
    if (udeg > 90 * UDEG_PER_DEGREE) {
        udeg = 180 * UDEG_PER_DEGREE - udeg;
    }
    int64_t degree = udeg / UDEG_PER_DEGREE;
    int64_t rest = udeg % UDEG_PER_DEGREE;
    if (rest == 0) {
        return sine_table[degree];
    }
    return sine_table[degree] +
           (sine_table[degree + 1] - sine_table[degree]) * rest / UDEG_PER_DEGREE;
}

static int64_t cosine(int64_t udeg)
{
    return sine(udeg + 90 * UDEG_PER_DEGREE);
}

static int64_t square_root(uint64_t value)
{
    uint64_t root = 0;
    for (int bit = 31; bit >= 0; bit--) {
        uint64_t with = root | UINT64_C(1) << bit;
        if (with * with <= value) {
            root = with;
        }
    }
    return (int64_t)root;
}

/* The smallest angle up to 90 degrees whose sine is that or more: the table's next degree, and from
 * the one before it the part of the straight line that is needed. */
static int64_t arc_of(int64_t value)
{
    int degree = 0;
    while (degree < 90 && sine_table[degree] < value) {
        degree++;
    }
    if (degree == 0 || sine_table[degree] < value) {
        return degree * UDEG_PER_DEGREE;
    }
    int64_t step = sine_table[degree] - sine_table[degree - 1];
    int64_t above = value - sine_table[degree - 1];
    return (degree - 1) * UDEG_PER_DEGREE + (above * UDEG_PER_DEGREE + step - 1) / step;
}
