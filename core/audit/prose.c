/* The fixed words of a report, for a reader who relies on it and is not a statistician. They
 * contain no number of an audit. */
#include "core/audit/prose.h"

const char sm_prose_method[] =
    "<p>An image encoder turns a picture into numbers. While it is trained without labels it "
    "learns to give similar numbers to altered versions (<em>views</em>) of one picture. Pictures "
    "that it saw in training it may treat better than pictures of the same kind that it never saw: "
    "it has <em>memorized</em> them.</p>\n"
    "<p>To see this, two encoders are compared that differ in what they were trained on. Encoder "
    "<b>f</b> saw the <em>candidates</em>, encoder <b>g</b> did not. Of every image the same "
    "random "
    "views are shown to both. The <b>score m</b> is how far apart the views lie for g, minus how "
    "far apart they lie for f. Above 0: f, which saw the candidates, treats this image better. "
    "(SSLMem: Wang et al., ICLR 2024.)</p>\n";

const char sm_prose_cohorts[] =
    "<p>Each row is a cohort; its height is the share of the cohort in that range of scores. The "
    "solid line is the cohort's mean, the dashed line through all rows the mean of the reference "
    "cohort. Memorization of candidates shows as a row that stands to the right of the reference. "
    "The distance of a row from 0 alone shows nothing, see "
    "<a href=\"#limits\">Limits of the method</a>.</p>\n";

const char sm_prose_contrasts[] =
    "<p>A dot is the difference of two mean scores; the bar is where the true difference "
    "plausibly lies (95&nbsp;% interval). A bar that crosses 0 is compatible with no difference. "
    "The "
    "<em>p-value</em> says how often chance alone would give a difference at least as large if "
    "there were none. Cohen's d is the difference in standard deviations: by convention .2 is "
    "small, .5 medium, .8 large.</p>\n";

const char sm_prose_reliability[] =
    "<h3 id=\"reliability\">How much of the spread is noise of the drawn "
    "views?</h3>\n<p>Reliability "
    "is the part of the variance that another draw would repeat: the correlation to expect with a "
    "repetition under another seed. The rest is noise, which makes some single scores high by "
    "luck; "
    "lists of images therefore rank by <em>shrunken</em> scores, drawn towards the mean by their "
    "noise. Tests, p-values and gates keep m.</p>\n";

const char sm_prose_membership[] =
    "<p>Somebody who holds an image and both encoders could use the score to guess whether the "
    "image was in f's training set. The curves show how well: to the right, how many images from "
    "outside are falsely accused; upwards, how many candidates are found. The dotted diagonal is "
    "guessing. The second chart shows the same with logarithmic axes. Its left end is what counts "
    "for privacy: finding even few members almost without false accusations is a breach, however "
    "good the average looks.</p>\n";

const char sm_prose_outsider[] =
    "<p>Few attackers have g. Someone who has <em>f and an image, nothing else</em>, can still "
    "look how tightly f holds the views of the image together (EncoderMI, CCS 2021; the "
    "dash-dotted curve above). This is no measure of memorization: plain pictures lie close for "
    "any encoder, and without g nothing tells the two apart.</p>\n";

const char sm_prose_outsider_alone[] =
    "<p>The curves show how well someone with f and an image, nothing else, could guess whether "
    "the image was in f's training set, by how tightly f holds the views of the image together "
    "(EncoderMI, CCS 2021): to the right, how many images from outside are falsely accused; "
    "upwards, how many candidates are found. The dotted diagonal is guessing. The table adds the "
    "size of f's output (its norms): an area below .5 says that candidates have the smaller "
    "one.</p>\n";

const char sm_prose_alone[] =
    "<p><strong>This audit has no encoder g, and says nothing about memorization.</strong> There "
    "is no score m, no p-value and no list of images, and no gate on them can hold. It gives "
    "signals of f alone: what an outsider with f could use to guess membership. They also differ "
    "because images differ. If the candidates are of another kind than the externals, or simpler, "
    "the signals tell the two apart whatever f was trained on.</p>\n";

const char sm_prose_method_alone[] =
    "<p>An image encoder turns a picture into numbers. Random altered versions (<em>views</em>) of "
    "every image were shown to encoder <b>f</b>. The <em>alignment</em> A<sub>f</sub> is how far "
    "apart the views lie for f; the signal 1 − A<sub>f</sub> is high where they lie "
    "close. The norms are the size of f's pooled output, averaged over the views.</p>\n";

const char sm_prose_limits_alone[] =
    "<ul class=\"limits\">\n"
    "<li><b>No memorization is measured.</b> That takes an encoder g, trained the same way without "
    "the candidates. Plain pictures lie close together for any encoder; g is what tells that from "
    "memory.</li>\n"
    "<li><b>The cohorts must be alike.</b> Candidates and externals must be drawn from one source "
    "by one rule, and prepared the same way. Otherwise a signal tells sources apart, not "
    "membership. No statistic can repair this.</li>\n"
    "<li><b>No proof of absence.</b> A result near guessing shows that these signals did not give "
    "the training set away, not that no attack would.</li>\n"
    "<li><b>Tests take images as independent.</b> Near-duplicates and several pictures of one "
    "person make intervals too narrow.</li>\n"
    "<li><b>This report is sensitive.</b> Signals of single images tell about membership. With "
    "names or thumbnails it must be protected like the images themselves.</li>\n"
    "</ul>\n";

const char sm_prose_classes[] =
    "<p>Candidates of each class beside the reference images <em>of the same class</em>, for "
    "classes differ in score whether they were trained on or not. Among many classes some differ "
    "by chance: q is what their p-values come to together (Benjamini and Hochberg).</p>\n";

const char sm_prose_groups[] =
    "<p>Candidates of each group, such as the images of one person or source, beside the "
    "<em>whole</em> reference, in which that group usually is not. Images of a group are alike, so "
    "the interval is narrower and q smaller than they should be: a reason to look, not "
    "proof.</p>\n";

const char sm_prose_images[] =
    "<p>Each candidate gets a <em>p-value</em>: the share of reference images (and itself) "
    "that score at least as high. If candidates were like the reference, their p-values would fill "
    "the chart evenly, up to the dashed line; memorization piles them up at the left. From all "
    "p-values together come <em>q-values</em> (Benjamini and Hochberg). The list of candidates "
    "with q at most 5&nbsp;% is the one in which some 5&nbsp;% can be expected to be there by "
    "chance: "
    "\"memorized at a false discovery rate (FDR) of 5&nbsp;%\".</p>\n";

const char sm_prose_limits[] =
    "<ul class=\"limits\">\n"
    "<li><b>A raw score is not memorization.</b> Two trainings differ in how tightly they hold "
    "views together, whatever they saw. This shifts the scores of all images by an unknown "
    "amount. Only comparison with a cohort that neither encoder favours says something about "
    "memory; so read centred scores, differences and p-values, never m by itself.</li>\n"
    "<li><b>Everything is relative to the reference cohort.</b> It must be drawn from the same "
    "source as the candidates, by the same rule, and prepared the same way. If the candidates are "
    "of another kind (another camera, class mix, resolution), a difference in score may be a "
    "difference in kind. No statistic can repair this.</li>\n"
    "<li><b>A p-value is not the probability that an image was memorized</b>, nor 1 minus it. It "
    "says how unusual the score would be among images that were not seen. It cannot be below "
    "1/(n + 1) for a reference of n images, however strong the effect.</li>\n"
    "<li><b>A list at FDR 5&nbsp;% is a statement about the list</b>, not about any image on it. "
    "Some "
    "of "
    "its images are there by chance, and which ones cannot be told. Images off the list may be "
    "memorized too.</li>\n"
    "<li><b>No proof of absence.</b> One signal is measured, with these views and this "
    "representation. A result near guessing does not show that the encoder keeps no memory or that "
    "no other attack would succeed; it shows that this one did not, on this many images.</li>\n"
    "<li><b>Candidates against independents counts twice.</b> Independents were seen by g. Their "
    "distance from the candidates contains f's memory of the one and g's memory of the other; what "
    "f alone gives away is the distance between candidates and externals.</li>\n"
    "<li><b>Normalised scores belong to this audit.</b> They are divided by the range of the "
    "scores "
    "in this very set of images, as in the paper; the same image gets another value in another "
    "set, and one outlier changes all of them.</li>\n"
    "<li><b>One training each.</b> Unless several encoders a side were given, the numbers hold for "
    "these two trainings. Another random seed gives other encoders and somewhat other scores; the "
    "standard errors of images cover the choice of views, not the choice of seed.</li>\n"
    "<li><b>Tests take images as independent.</b> Near-duplicates, bursts and several pictures of "
    "one person make intervals too narrow and p-values too small. Tests of several pairs of "
    "cohorts are not corrected for being several.</li>\n"
    "<li><b>The decoder is part of the measurement.</b> Pixels are those of Pillow and "
    "torchvision. "
    "Other JPEG decoders differ, by many levels at the edges of colours. Scores are comparable "
    "only "
    "when made with the decoders named below; encoders that were trained with another one see "
    "slightly other pixels here.</li>\n"
    "<li><b>This report is sensitive.</b> Scores of single images tell about membership. With "
    "names "
    "or thumbnails it must be protected like the images themselves. Digests in it are keyed: they "
    "cannot be compared with an image without the key.</li>\n"
    "</ul>\n";

const char sm_prose_again[] =
    "<p>The record of this audit, report.json, holds every score and setting; all numbers and "
    "charts of this page can be computed from it again. To repeat the measurement itself takes the "
    "pair whose digest is named above, the same images in the same cohorts, the recipe and the "
    "settings. The same version on the same kind of processor then gives the same record byte for "
    "byte, but for its line \"run\" and, unless both audits have the same "
    "<code>--digest-key</code>, "
    "the keyed digests of the images.</p>\n";

const char sm_prose_again_here[] =
    "<p>The recipe and a list of the images are in recipe.json and manifest.jsonl, in the folder "
    "where this report was written. The command:</p>\n";

const char sm_prose_again_service[] =
    "<p>The recipe is in the record, which the service hands out at the path below; the first "
    "command takes it out. In the second one, put your own folders in place of the words in "
    "capitals.</p>\n";
