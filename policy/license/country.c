/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/country.h"

#include <stddef.h>
#include <string.h>

#define CODE_STEP 3u /* two letters and a blank */

/* ISO 3166-1 alpha-2, its 249 codes, and what country.h adds. */
static const char known[] =
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN "
    "BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ "
    "DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL "
    "GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM "
    "JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME "
    "MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP "
    "NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD "
    "SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO "
    "TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK EU ";

/* The 27 members; and those parts of them that have a code of their own and in which the Treaties
 * apply all the same (Article 355 TFEU): the outermost regions and Aland. */
static const char members[] = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU "
                              "IE IT LT LU LV MT NL PL PT RO SE SI SK ";
static const char members_parts[] = "AX GF GP MF MQ RE YT ";

/* The code in capitals, GB for UK; false for what is no pair of letters. */
static bool read_code(const char *place, char ret[2])
{
    if (place == NULL || strlen(place) != 2)
        return false;
    for (int i = 0; i < 2; i++) {
        char c = place[i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (c < 'A' || c > 'Z')
            return false;
        ret[i] = c;
    }
    if (ret[0] == 'U' && ret[1] == 'K')
        memcpy(ret, "GB", 2);
    return true;
}

static bool listed(const char *list, const char code[2])
{
    for (; *list != '\0'; list += CODE_STEP)
        if (memcmp(list, code, 2) == 0)
            return true;
    return false;
}

bool country_known(const char *place)
{
    char code[2];
    return read_code(place, code) && listed(known, code);
}

bool country_in_eu(const char *country)
{
    char code[2];
    return read_code(country, code) &&
           (memcmp(code, "EU", 2) == 0 || listed(members, code) || listed(members_parts, code));
}

bool country_overlaps(const char *one, const char *other)
{
    char a[2], b[2];
    if (!read_code(one, a) || !read_code(other, b))
        return false;
    if (memcmp(a, b, 2) == 0)
        return true;
    bool a_is_eu = memcmp(a, "EU", 2) == 0, b_is_eu = memcmp(b, "EU", 2) == 0;
    return (a_is_eu && country_in_eu(other)) || (b_is_eu && country_in_eu(one));
}
