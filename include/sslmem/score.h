/* Scores: computes the memorization score of an image under a pair of encoders, with its standard
 * error and provenance.
 *
 *     struct sm_pair *pair;
 *     struct sm_scorer *scorer;
 *     struct sm_score score;
 *     sm_pair_open(&pair, "pairs/fashion-simclr", "auto", &err);
 *     sm_scorer_new(&scorer, pair, &err);
 *     sm_score_image(&score, scorer, sm_pair_recipe(pair), bytes, n, &err);
 *     printf("m = %g +- %g\n", score.m, score.m_se);
 *
 * The score is m(x) = A_g(x) - A_f(x). A side's alignment A(x) is the mean distance between the
 * representations of views of x, averaged over the side's encoders (Wang et al., ICLR 2024, eq.
 * 1-2; core/README.md, Method). A positive m means that f, which was trained on x, aligns x better.
 *
 * sslmem/task.h lets several threads work on one image.
 *
 * Owner:   the caller closes pairs and frees scorers, a scorer before its pair. sm_score is a plain
 *          value.
 * Threads: sm_pair is immutable after open, and threads may share it. A scorer holds the workspaces
 *          of its encoders and belongs to one thread.
 * Errors:  each function names its own; a bad image is SM_UNSUPPORTED, SM_CORRUPT or SM_LIMIT.
 *
 * pair.json, in the pair's folder:
 *   "description"  text, optional
 *   "f", "g"       lists of 1..SM_ENCODERS_MAX checkpoint file names in the same folder. A pair
 *                  may lack "g": it then has no score m, and gives the signals of an outsider
 *   "encoder"      configuration of every encoder (sm_encoder_config_parse), or {"f", "g"}, one for
 *                  each side; optional
 *   "mean", "std"  input normalisation on [0, 1], three numbers each; default: the encoder's own,
 *                  else 0.5
 *   "recipe"       the pair's own recipe; "augment" is required
 *   "reference"    file name of the reference cohort (sm_reference_write), optional
 *   "allow_same"   true lets the pair open although an encoder of f and one of g have the same
 *                  weights (sm_encoder_same_weights). By default open then fails with SM_INVALID at
 *                  "/g/K" and names both files */
#ifndef SSLMEM_SCORE_H
#define SSLMEM_SCORE_H

#include "sslmem/encoder.h"
#include "sslmem/recipe.h"

#define SM_METHOD "sslmem/2" /* version of the score's definition; changes if any number changes */
/* Version of the kernels; it is raised when the last bits of a kernel row's results may change, for
 * example by another algorithm or another order of summation. */
#define SM_KERNELS_REVISION 1
#define SM_ENCODERS_MAX     8       /* maximum number of encoders per side */
#define SM_REFERENCE_MAX    1000000 /* maximum number of scores in a reference cohort */

struct sm_pair;
struct sm_scorer;

/* Opens the pair in folder `dir` with the kernels that `kernels` selects (sm_kernels_find). Checks
 * everything that does not depend on an image; an error names the file at fault. */
enum sm_code sm_pair_open(struct sm_pair **out, const char *dir, const char *kernels,
                          struct sm_err *err);
void sm_pair_close(struct sm_pair *pair);
const char *sm_pair_name(const struct sm_pair *pair); /* last component of the folder's path */
/* Returns the SHA-256, 64 hex digits, of everything that decides a score except recipe and image:
 * encoder digests in order, encoder configuration, mean, std and reference. It also covers the
 * pair's flags, so that a score stored without flags never answers for a pair that has them. */
const char *sm_pair_digest(const struct sm_pair *pair);
const struct sm_recipe *sm_pair_recipe(const struct sm_pair *pair);
int32_t sm_pair_input_px(const struct sm_pair *pair);
/* Returns the standard deviation of the reference scores; 0 if the reference has fewer than two
 * scores or was not measured with the pair's own recipe. */
double sm_pair_reference_sd(const struct sm_pair *pair);
/* Describes the pair: name, digest, description, encoders (file, digest, info), mean, std, recipe,
 * recipe digest, reference (cohort, n, mean, sd, reliability, recipe digest, lists_images) or null,
 * flags.
 * Returns a new reference, NULL when out of memory. */
json_t *sm_pair_json(const struct sm_pair *pair);
/* Lists the pair's flags, the reasons to doubt its scores:
 * [{"code", "text", "files": [[file, file] …]} …].
 *   "sides_same"         an encoder of f and one of g have the same weights ("allow_same")
 *   "encoders_repeated"  two encoders of one side have the same weights
 *   "g_missing"          the pair has no g; without "files"
 * Returns a new reference, NULL when out of memory. */
json_t *sm_pair_flags_json(const struct sm_pair *pair);
/* Checks that a recipe fits the pair: the representation exists on every encoder with one shape,
 * and the ops end at the encoders' input size. */
enum sm_code sm_pair_check_recipe(const struct sm_pair *pair, const struct sm_recipe *recipe,
                                  struct sm_err *err);
bool sm_pair_has_g(const struct sm_pair *pair);
/* Returns encoder `k` of side 'f' or 'g', NULL past the end. */
const struct sm_encoder *sm_pair_encoder(const struct sm_pair *pair, char side, int k);
/* Renders one view and normalises it for the pair's encoders: x [3, input_px, input_px]. `drawn` is
 * that of sm_view_render. SM_INVALID at "/augment" if the ops end at another size. */
enum sm_code sm_pair_render(float *x, const struct sm_pair *pair, const struct sm_image *image,
                            const struct sm_augment *augment, const struct sm_stream_key *key,
                            json_t *drawn, struct sm_err *err);

/* The alignment of one side, f or g. */
struct sm_alignment {
    double mean; /* mean over the side's encoders */
    double se;   /* standard error of `mean` over views; NaN under the same condition as m_se */
    int encoders_count;
    double per_encoder[SM_ENCODERS_MAX];
    double sd_encoders; /* standard deviation of per_encoder; 0 for one encoder */
};

/* Whether the image is in the reference cohort; UNKNOWN if the reference file lists no images. */
enum sm_in_reference { SM_IN_REFERENCE_UNKNOWN, SM_IN_REFERENCE_NO, SM_IN_REFERENCE_YES };

/* Norms of the pooled representation of f, means over views and encoders. An outsider has them,
 * who holds f alone. They say nothing of memorization. */
enum sm_norm { SM_NORM_1, SM_NORM_2, SM_NORM_MAX, SM_NORMS };

/* Of a pair without g, every number of m and g is NaN, and g.encoders_count is 0. */
struct sm_score {
    struct sm_alignment f, g;
    double m;    /* the score, A_g - A_f */
    double m_se; /* standard error of m over views (sm_jackknife_pairs or sm_jackknife_mean); with
                    several encoders on a side, the spread between encoders is added to its square:
                    sd_f^2/n_f + sd_g^2/n_g. NaN below four views (anchor: two) */
    double m_low, m_high; /* 95 % interval of the m of all views that the recipe can draw; NaN if
                             m_se is NaN or if nothing varies over views and encoders */
    int32_t views_used;   /* the recipe's views, or fewer if its target_se was met earlier */
    double ratio; /* (A_g - A_f)/(A_g + A_f); 0 if both are 0 (LayerMem, arXiv 2409.19069, eq. 2) */
    double norms[SM_NORMS]; /* of a pair without g; 0 if it has one */
    /* Comparison with the pair's reference cohort; has_reference is false if the pair has no
     * reference that was measured with this recipe. Percentile and p-value compare with
     * `reference_n` scores: the whole cohort, without the image itself if it is in the cohort. */
    bool has_reference;
    enum sm_in_reference in_reference;
    size_t reference_n;
    double centered;   /* m minus the mean of the whole cohort */
    double percentile; /* percent of the reference_n scores below m, ties half; NaN: n is 0 */
    double p_value;    /* conformal: (1 + #{scores >= m})/(reference_n + 1); NaN: n is 0 */
    /* Share of the variance of the cohort's scores that is not noise of views; NaN: unknown. */
    double reliability_of_reference;
    /* Provenance: SHA-256 digests as hex, and the name of the pair. */
    char image_digest[65], recipe_digest[65], pair_digest[65], score_key[65];
    char pair[64];
    struct sm_image_info image;
    struct sm_recipe recipe;
};

/* Writes the score key, which identifies a score: SHA-256 of the method, the digests of pair,
 * recipe and image, the image's decoder (sm_image_find_decoder), the kernels and the BLAS. It needs
 * no scoring, so the caller can first look for a stored score. */
enum sm_code sm_score_key(char score_key[65], const struct sm_pair *pair, const char *recipe_digest,
                          const char *image_digest, const char *decoder, struct sm_err *err);

/* Makes a scorer for the pair; its workspaces are made when they are first needed. */
enum sm_code sm_scorer_new(struct sm_scorer **out, const struct sm_pair *pair, struct sm_err *err);
void sm_scorer_free(struct sm_scorer *scorer);
/* Sets the watch that every later forward of the scorer asks before each op; NULL: none. */
void sm_scorer_watch(struct sm_scorer *scorer, const struct sm_watch *watch);

/* Scores one image file: decodes it, draws the views, runs every encoder on the same views and
 * measures the alignments. The recipe must have passed sm_pair_check_recipe. */
enum sm_code sm_score_image(struct sm_score *out, struct sm_scorer *scorer,
                            const struct sm_recipe *recipe, const void *bytes, size_t bytes_count,
                            struct sm_err *err);

/* Writes the score as clients see it, with provenance; the store adds id and time. "flags" holds
 * the pair's flags and is left out if the pair has none. Returns a new reference, NULL when out of
 * memory. */
json_t *sm_score_json(const struct sm_score *score, const struct sm_pair *pair);

struct sm_reference_image {
    char digest[65]; /* SHA-256 of the image file */
    double m;
    double m_se; /* NaN: undefined */
};
/* Writes reference.json in the pair's folder:
 * {"cohort", "recipe", "encoders", "images": [digests], "scores": [m], "errors": [m_se or null]}.
 * All scores must come from the recipe with this digest. sm_pair_open refuses a file whose encoder
 * digests are not the pair's. "images" and "errors" have the order of "scores". The first keeps an
 * image from being compared with itself, the second gives the reliability; a file without them
 * opens, too. SM_INVALID if an image is listed twice. */
enum sm_code sm_reference_write(const struct sm_pair *pair, const char *cohort,
                                const char *recipe_digest, const struct sm_reference_image *images,
                                size_t count, struct sm_err *err);

#endif
