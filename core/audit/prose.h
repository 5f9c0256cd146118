/* Constant parts of a report: style sheet (style.c), explanations, limits of the method. Trusted
 * HTML. */
#ifndef CORE_AUDIT_PROSE_H
#define CORE_AUDIT_PROSE_H

extern const char sm_prose_style[];
extern const char sm_prose_style_parts[];    /* of verdict, cards, tables, images, signature */
extern const char sm_prose_style_charts[];   /* of charts, narrow screens, paper */
extern const char sm_prose_method[];         /* the measurement */
extern const char sm_prose_cohorts[];        /* how to read the histograms */
extern const char sm_prose_reliability[];    /* what the noise of views does to scores */
extern const char sm_prose_contrasts[];      /* how to read the differences */
extern const char sm_prose_membership[];     /* how to read the curves */
extern const char sm_prose_outsider_alone[]; /* of a pair without g: the same, */
extern const char sm_prose_alone[];          /* what its audit cannot say, */
extern const char sm_prose_method_alone[];   /* its measurement, */
extern const char sm_prose_limits_alone[];   /* and its limits */
extern const char sm_prose_outsider[];       /* how to read the signals of f alone */
extern const char sm_prose_classes[];        /* how to read the tables of labels */
extern const char sm_prose_groups[];
extern const char sm_prose_images[]; /* how to read p-values and q-values */
extern const char sm_prose_limits[];
extern const char sm_prose_again[]; /* how to run the audit again */
extern const char sm_prose_again_here[];
extern const char sm_prose_again_service[];

#endif
