/* SPDX-License-Identifier: Apache-2.0 */
/* license_record.h -- the shape of a licence in the catalogue. Only types: catalogue.c fills them,
 * the gate weighs them, render/ shows them. A string that a file leaves out is "", never NULL;
 * lists have their count beside them. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_RECORD_H
#define WEIR_POLICY_LICENSE_LICENSE_RECORD_H

#include "policy/license/license_condition.h"

#include <stdbool.h>
#include <stdint.h>

enum license_answer { ANSWER_UNKNOWN, ANSWER_NO, ANSWER_YES, ANSWER_CONDITIONAL, ANSWER_SILENT };

/* How well we know: publisher's text read, curated copy read, excerpt, secondary source, general
 * knowledge. The last two are never `verified`. */
enum license_grade { GRADE_P, GRADE_C, GRADE_X, GRADE_S, GRADE_K };

/* What sort of licence it is, for the check of labels against lineage: whoever takes from a
 * permissive licence may put another label on; from any other he may not drop its conditions. */
enum license_category {
    CATEGORY_PERMISSIVE,
    CATEGORY_ATTRIBUTION, /* permissive but for a name to show above a size */
    CATEGORY_COPYLEFT,
    CATEGORY_USE_RESTRICTED, /* RAIL and policies of use */
    CATEGORY_THRESHOLD,      /* another licence is needed above a size */
    CATEGORY_NON_COMMERCIAL,
    CATEGORY_PROPRIETARY
};

enum license_text_role { TEXT_LICENSE, TEXT_USE_POLICY };

/* A text by its hashes alone; see license_text.h for the grammar of `sentences`. */
struct license_fingerprint {
    enum license_text_role role;
    char *source;    /* where it was read: "github:MoonshotAI/Kimi-K2.5@3e60763b LICENSE" */
    char *digest;    /* SHA-256 of the normalised words, in hexadecimal */
    char *sentences; /* a line a sentence */
};

struct license_grants {
    enum license_answer commercial, production, hosting_is_distribution, patent, transferable;
};

struct license_reference {
    char *name, *url;
};

struct license_record {
    char *id;        /* the catalogue's name: lower case but for SPDX ids */
    char *name;      /* for people */
    char *family;    /* licences of one publisher's line, counted together: "llama" */
    char *publisher; /* "" for common licences */
    char *version;   /* the text's own version or date, "" when it has none */
    char *spdx;      /* SPDX id or LicenseRef, "" when there is none */
    enum license_category category;
    char **aliases; /* other spellings under general.license, license and license_name */
    uint32_t alias_count;
    char **links; /* parts of URLs under which it is published */
    uint32_t link_count;
    enum license_grade grade;
    bool verified;
    char **sources;
    uint32_t source_count;
    char *summary;
    struct license_reference *policies; /* use policies it refers to */
    uint32_t policy_count;
    struct license_grants grants;
    struct license_condition *conditions;
    uint32_t condition_count;
    char **ambiguities;
    uint32_t ambiguity_count;
    enum license_answer osaid; /* ANSWER_UNKNOWN: not judged */
    char *osaid_reason;
    enum license_answer ai_act; /* the provider's open-source exemption; ANSWER_CONDITIONAL is
                                 * "uncertain" */
    char *ai_act_basis;         /* "Guidelines C(2025) 5045, para. 83" */
    char *ai_act_reason;
    struct license_fingerprint *texts;
    uint32_t text_count;
};

/* lineage.yaml: under what a published model is licensed, and what it was made from. */
struct lineage_row {
    char *model;     /* a glob over "org/name" and over "name" */
    char **licenses; /* ids; all of them bind */
    uint32_t license_count;
    char **base_models; /* names to look up in turn */
    uint32_t base_model_count;
    enum license_grade grade;
    char *source;
    char *note; /* "" or what to know */
};

#endif
