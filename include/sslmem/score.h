/* Scores: a pair of encoders and an image to a memorization score with its standard error and
 * provenance.
 *
 *     struct sm_pair *pair;
 *     struct sm_scorer *scorer;
 *     struct sm_score score;
 *     sm_pair_open(&pair, "pairs/fashion-simclr", "auto", &err);
 *     sm_scorer_new(&scorer, pair, &err);
 *     sm_score_image(&score, scorer, sm_pair_recipe(pair), bytes, n, &err);
 *     printf("m = %g +- %g\n", score.m, score.m_se);
 *
 * m(x) = A_g(x) - A_f(x), averaged over the encoders of each side, A = mean distance between the
 * representations of views (Wang et al., ICLR 2024, eq. 1-2; core/README.md, Method).
 * Positive: f, which saw x, aligns it better.
 *
 * Several threads on one image: sslmem/task.h.
 *
 * Owner:   sm_pair is immutable after open and shared by threads; a scorer (the workspaces that
 *          encoders run in) belongs to one thread and must be freed before its pair. sm_score is a
 *          plain value.
 * Errors:  see each function; image errors carry SM_UNSUPPORTED, SM_CORRUPT or SM_LIMIT.
 *
 * pair.json, in the pair's folder:
 *   "description"  text, optional
 *   "f", "g"       lists of 1..SM_ENCODERS_MAX checkpoint file names in the same folder
 *   "encoder"      sm_encoder_config_parse; optional; the same for every encoder of the pair
 *   "mean", "std"  three numbers each, input normalisation on [0,1]; default .5
 *   "recipe"       the pair's own recipe; "augment" is required
 *   "reference"    file name of the reference cohort, optional (sm_reference_write)
 *   "allow_same"   true: the pair opens although an encoder of f and one of g hold the same weights
 *                  (sm_encoder_same_weights); default false: SM_INVALID at "/g/K", which names
 *                  both files */
#ifndef SSLMEM_SCORE_H
#define SSLMEM_SCORE_H

#include "sslmem/encoder.h"
#include "sslmem/recipe.h"

#define SM_METHOD "sslmem/2" /* the score's definition; changes whenever a number would */
/* Raised when a kernel row's last bits may change: another algorithm for a geometry, another order
 * of sums. */
#define SM_KERNELS_REVISION 1
#define SM_ENCODERS_MAX     8 /* per side */
#define SM_REFERENCE_MAX    1000000

struct sm_pair;
struct sm_scorer;

enum sm_code sm_pair_open(struct sm_pair **out, const char *dir, const char *kernels,
                          struct sm_err *err);
void sm_pair_close(struct sm_pair *pair);
const char *sm_pair_name(const struct sm_pair *pair); /* the folder's last component */
/* SHA-256 over everything that decides a score but recipe and image: encoder digests in order,
 * encoder config, mean, std, reference; and what sm_pair_flags_json says, so that a score that was
 * stored without its flags is not taken for one that has them. */
const char *sm_pair_digest(const struct sm_pair *pair);
const struct sm_recipe *sm_pair_recipe(const struct sm_pair *pair);
int32_t sm_pair_input_px(const struct sm_pair *pair);
/* sd of the reference scores under the pair's own recipe; 0: there are none, or fewer than two. */
double sm_pair_reference_sd(const struct sm_pair *pair);
/* Name, digest, description, encoders (file, digest, info), mean, std, recipe, recipe digest,
 * reference (cohort, n, mean, sd, recipe digest, lists_images) or null, flags. New reference. */
json_t *sm_pair_json(const struct sm_pair *pair);
/* What makes every score of the pair doubtful: [{"code", "text", "files": [[file, file] …]} …].
 *   "sides_same"         an encoder of f and one of g hold the same weights ("allow_same")
 *   "encoders_repeated"  two encoders of one side do
 * New reference, NULL when out of memory. */
json_t *sm_pair_flags_json(const struct sm_pair *pair);
/* Checks what depends on the pair: the representation exists on every encoder and the views end at
 * the input size. */
enum sm_code sm_pair_check_recipe(const struct sm_pair *pair, const struct sm_recipe *recipe,
                                  struct sm_err *err);
/* Encoder k of side 'f' or 'g'; NULL past the end. */
const struct sm_encoder *sm_pair_encoder(const struct sm_pair *pair, char side, int k);
/* One view as the pair's encoders take it: x [3, input_px, input_px], normalised. `drawn` as in
 * sm_view_render. SM_INVALID at "/augment" when the ops end at another size. */
enum sm_code sm_pair_render(float *x, const struct sm_pair *pair, const struct sm_image *image,
                            const struct sm_augment *augment, const struct sm_stream_key *key,
                            json_t *drawn, struct sm_err *err);

/* One side's alignment. */
struct sm_alignment {
    double mean; /* over encoders */
    double se;   /* of `mean`, over views; NaN as m_se */
    int encoders_count;
    double per_encoder[SM_ENCODERS_MAX];
    double sd_encoders; /* between encoders; 0 for one */
};

/* Whether the image is one of the reference cohort. Unknown: the cohort's file lists no images. */
enum sm_in_reference { SM_IN_REFERENCE_UNKNOWN, SM_IN_REFERENCE_NO, SM_IN_REFERENCE_YES };

struct sm_score {
    struct sm_alignment f, g;
    double m;    /* raw difference A_g - A_f */
    double m_se; /* over views of the difference (sm_jackknife_pairs, _mean), and, with several
                    encoders on a side, the between-encoder component sd_f^2/n_f + sd_g^2/n_g added
                    in quadrature; NaN below four views (anchor: two) */
    double m_low, m_high; /* 95 % interval for the m of all views of the recipe; NaN as m_se, and
                             where no distance differs from another */
    int32_t views_used;   /* the recipe's views, fewer when its target_se was met before */
    double ratio; /* (A_g - A_f)/(A_g + A_f); 0/0 is 0 (LayerMem, arXiv 2409.19069, eq. 2) */
    /* Against the pair's reference cohort; has_reference false when none is registered for this
     * recipe. Percentile and p-value are among `reference_n` scores: all of the cohort, or, for one
     * of its own images, all others. */
    bool has_reference;
    enum sm_in_reference in_reference;
    size_t reference_n;
    double centered;   /* m - mean of the whole reference */
    double percentile; /* share of the others below m, ties half, in percent; NaN for no others */
    double p_value;    /* conformal: (1 + #{others >= m})/(reference_n + 1); NaN for no others */
    /* Provenance. */
    char image_digest[65], recipe_digest[65], pair_digest[65], score_key[65];
    char pair[64];
    struct sm_image_info image;
    struct sm_recipe recipe;
};

/* The identity of a score: SHA-256 over method, pair, recipe and image digests, decoder (of this
 * image: sm_image_find_decoder), kernels and BLAS. Needs no computing, so history can be asked
 * first. */
enum sm_code sm_score_key(char score_key[65], const struct sm_pair *pair, const char *recipe_digest,
                          const char *image_digest, const char *decoder, struct sm_err *err);

enum sm_code sm_scorer_new(struct sm_scorer **out, const struct sm_pair *pair, struct sm_err *err);
void sm_scorer_free(struct sm_scorer *scorer);
/* Asked before each op of the forwards that this scorer runs from now on; NULL: none. */
void sm_scorer_watch(struct sm_scorer *scorer, const struct sm_watch *watch);

/* Decodes, draws the views, runs every encoder on the same views, aligns. The recipe must have
 * passed sm_pair_check_recipe. */
enum sm_code sm_score_image(struct sm_score *out, struct sm_scorer *scorer,
                            const struct sm_recipe *recipe, const void *bytes, size_t bytes_count,
                            struct sm_err *err);

/* The score as clients see it, provenance included (everything but id and time, which the store
 * gives). "flags", those of the pair, only where there are some. New reference, NULL when out of
 * memory. */
json_t *sm_score_json(const struct sm_score *score, const struct sm_pair *pair);

struct sm_reference_image {
    char digest[65];
    double m;
};
/* Writes <dir>/reference.json from scores that all carry the same recipe digest:
 * {"cohort","recipe","encoders","images":[digest …],"scores":[m …]}. `encoders` are the digests
 * it was measured with; open refuses a file of other encoders. `images`, in the order of the
 * scores, keep one of them from being compared with itself; a file without them opens. SM_INVALID
 * for an image that is there twice. */
enum sm_code sm_reference_write(const struct sm_pair *pair, const char *cohort,
                                const char *recipe_digest, const struct sm_reference_image *images,
                                size_t count, struct sm_err *err);

#endif
