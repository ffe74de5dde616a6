/* SPDX-License-Identifier: Apache-2.0 */
/* license_catalogue.c -- the ids we answer with, the other names they go by, and the digests of
 * texts that we know (license_text_digest() over the text as it was published with weights). */
#include "policy/license.h"
#include "policy/license_text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* SPDX's spelling, then model hubs' ids, then ours for texts that neither names. */
static const char *const ids[] = {
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "ISC",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-2.0",
    "CC-BY-NC-3.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-2.0",
    "CC-BY-NC-SA-3.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-NC-ND-3.0",
    "CC-BY-NC-ND-4.0",
    "CC-BY-ND-4.0",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "LGPL-2.1",
    "LGPL-3.0",
    "AGPL-3.0",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "MPL-2.0",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.1",
    "EUPL-1.2",
    "AFL-3.0",
    "ECL-2.0",
    "Artistic-2.0",
    "BSL-1.0",
    "MS-PL",
    "NCSA",
    "OFL-1.1",
    "OSL-3.0",
    "PostgreSQL",
    "LPPL-1.3c",
    "WTFPL",
    "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0",
    "CDLA-Sharing-1.0",
    "C-UDA-1.0",
    "ODC-By-1.0",
    "ODbL-1.0",
    "PDDL-1.0",
    "OpenMDW-1.0",
    "OpenMDW-1.1",
    "openrail",
    "openrail++",
    "bigscience-openrail-m",
    "bigscience-bloom-rail-1.0",
    "creativeml-openrail-m",
    "bigcode-openrail-m",
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "llama4",
    "gemma",
    "grok2-community",
    "apple-amlr",
    "apple-ascl",
    "deepfloyd-if-license",
    "fair-noncommercial-research-license",
    "h-research",
    "intel-research",
    "bilibili-index-2025-09-09",
    "chatglm2",
    "dbrx",
    "deepseek-model-1.0",
    "exaone-1.1-nc",
    "falcon-2-11b",
    "falcon-3",
    "flux-1-dev-non-commercial",
    "hyperclovax-seed",
    "kimi-k2",
    "kimi-k2.5",
    "kimi-k2.7-code",
    "kimi-k3",
    "lfm-1.0",
    "minimax-m2",
    "minimax-m2.1",
    "minimax-m2.5",
    "minimax-m2.7",
    "mistral-medium-3.5",
    "mnpl-0.1",
    "mrl-0.1",
    "nvidia-open-model-2025-04-28",
    "qwen",
    "qwen-research",
    "stabilityai-ai-community",
    "stabilityai-nc-research",
    "tencent-hunyuan-3d-2.0",
    "tencent-hunyuan-a13b",
    "tongyi-qianwen",
    "tongyi-qianwen-research",
};

/* What stands in files besides the ids. "modified-mit" is not here and must not be: at least four
 * licences with different effects go by it. */
static const struct {
    const char *name, *id;
} aliases[] = {
    {"apache2", "Apache-2.0"},
    {"apache-2", "Apache-2.0"},
    {"apache-license-2.0", "Apache-2.0"},
    {"apache-license-version-2.0", "Apache-2.0"},
    {"mit-license", "MIT"},
    {"the-mit-license", "MIT"},
    {"odc-by", "ODC-By-1.0"},
    {"pddl", "PDDL-1.0"},
    {"lppl-1.3c", "LPPL-1.3c"},
    {"llama-2", "llama2"},
    {"llama-3", "llama3"},
    {"llama-3.1", "llama3.1"},
    {"llama-3.2", "llama3.2"},
    {"llama-3.3", "llama3.3"},
    {"llama-4", "llama4"},
    {"llama2-community", "llama2"},
    {"llama3.1-community", "llama3.1"},
    {"qwen-license", "qwen"},
    {"qwen-license-agreement", "qwen"},
    {"tongyi-qianwen-license-agreement", "tongyi-qianwen"},
    {"tongyi-qianwen-research-license-agreement", "tongyi-qianwen-research"},
    {"mistral-ai-research-license", "mrl-0.1"},
    {"mrl", "mrl-0.1"},
    {"mnpl", "mnpl-0.1"},
    {"lfm1.0", "lfm-1.0"},
    {"falcon-llm-license", "falcon-3"},
    {"flux-1-dev-non-commercial-license", "flux-1-dev-non-commercial"},
    {"stabilityai-ai-community-license", "stabilityai-ai-community"},
};

/* SHA-256, in hexadecimal. The three Apache-2.0 are the text, the text with curly placeholders,
 * and the text without its appendix. */
static const struct {
    const char *id, *digest;
} texts[] = {
    {"Apache-2.0", "0331a3b30319f29207b49e137a0d69558f46f73f331914047baf668c23ad50d9"},
    {"Apache-2.0", "7502fc3c24b98f2e971277689f284a3ace91438f0736f2fc3b9f1e3d1ec239f3"},
    {"Apache-2.0", "5476c8f666424de2c262519b760ce3eedee7522ef40ae97ddb29ec2b9004a27e"},
    {"MIT", "da6d84d806a84b930cdad9c0727f4d03a99c937496005069a610228473f06d02"},
    {"BSD-3-Clause", "2268b83e7c44cc6609437174e5090b47754596ebb66185be4cf94c958f09ff95"},
    {"bigcode-openrail-m", "1d5fcb3ca771ac0dbd522b652a6fac7c2af12550650d7652c5d192fa31c5a952"},
    {"bigscience-bloom-rail-1.0",
     "d192f8a15ab8162c8c171d06e419883105064a7cb6d030d784c911a8169bd02e"},
    {"bigscience-openrail-m", "43cd1bab7daf8b85cd7394123decac452c858de97111772f709e6cd8edc0ca56"},
    {"bilibili-index-2025-09-09",
     "53cd5d2a6b3de514571753a2ff48dac93bc524f7b19f92513cff5346b972c437"},
    {"chatglm2", "05cbef7d54c58a8835b4ce99ae798536ad9cab0adbd4c524f1fea22f40b89988"},
    {"creativeml-openrail-m", "76e05abdd0a5dd98c1b069ad769f1e064112cdb1ab3e546a7e0b2b083a5719b7"},
    {"dbrx", "2b0adf3d393393c42e3076668f7b07b45988029c41ac7708dff6c07c62d232a9"},
    {"deepseek-model-1.0", "7202f836d37ff72e2b1a293bbed24ea341786aada83cea3511e59b59f190d2b9"},
    {"exaone-1.1-nc", "0d0075664ffac6abf746f1ceab32840cb074a81606b740384c7f4012c790ab7e"},
    {"falcon-2-11b", "b0fbb5642e00d31dbd252dae9fb7b3f2bd841d3ddbf53d0ac6793f2687e4675b"},
    {"falcon-3", "3d00000ce6540f90b527372688dc96ae031f7b33b14973e8820f999d2642088f"},
    {"flux-1-dev-non-commercial",
     "f5119fedba8acd96b3ec56bf49f719afdb6d2ecfda2b847c9d0e4682af9cfc38"},
    {"gemma", "b38b6bda272dbc12d655f48e9b22ff4e21a799424d02546c18dd11b8df48be28"},
    {"gemma", "3afea28ff19fefdd0f4a3f22220df34a03493c3215379a2d7bcb10af22813d95"},
    {"grok2-community", "04e01d508959deab08b1d2b91c732701b9edf57ce4234ecc629db8b0e8f156a2"},
    {"hyperclovax-seed", "e62d2466dae08b1009d99bd0f01f4acbf1766b1f9c81e7d71ef2434fa6ff4002"},
    {"kimi-k2", "7dbfbe3edf70ed551d024be7b2c410dd2368a41964394f6aeb0235fb581b8d24"},
    {"kimi-k2.5", "b769026d9af19276693ed46d9a495138d7870769c6de24d7a4a2b18419d2f93a"},
    {"kimi-k2.7-code", "903d1840fd7c606c60c4c06fca84aef3b061d674cc1e7b12e427c0bc41eb55d5"},
    {"kimi-k3", "3fd5f286a813dddd737b52de69e6618008109932dd78ad35dcffd466f8c43cdc"},
    {"lfm-1.0", "15e3086e796f849f4cb18b4ea156be719f5f28d72311daf44d3f3a3d01958586"},
    {"llama2", "b04e3701c22f0f21f610131c7d34af03e1fdfd145ee3d72fb30f1671efedabe4"},
    {"llama3", "42b24ada862f77c1f28ed722997fefd696b2aa2651c41877c39603771bd70043"},
    {"llama3.1", "d958ddc2d50c47c017cbcea9751ff60e54166c9d8c46cceb54f74f70a38b5be4"},
    {"llama3.2", "5bf00e1feb3d8374766934be1635efd5ab78e5be2a24f171674455c6ee562765"},
    {"llama3.3", "a4641fc99289f90cd1413b1c6c9e4a5d6636146999d36b917570de45de15f13a"},
    {"llama4", "935ae57ce08f0a56f7a0355045ddf5634ec521caa86f2e07581a90dc842d5b39"},
    {"minimax-m2", "816582722001d6eeebebfa6264af2682023c7ec0ae4bdec88ab16239baa7b62d"},
    {"minimax-m2.1", "93290307c368631968241f6d16345d269663836c4a88a9227bdfb0c8b1d37012"},
    {"minimax-m2.5", "25ed9449287d0bd636b0e680042048336c01db0bed3032ab8944fbafd466c3b1"},
    {"minimax-m2.7", "b3c6645d690a43a87860bad97b57dca369ca00faacaacba6d1f63a120c2fa925"},
    {"mistral-medium-3.5", "15b0a733bef89e430e7c753ad6ede90f26a77d9e33388231be09b66149c0b419"},
    {"mnpl-0.1", "ba259fd77852275e8b9caaf11527b63c4b04999bde3f336450755ded28abf61b"},
    {"mrl-0.1", "04ccdeee78a98068f65b2933db7b33b41c8293db51f5543a0feafa14e7c8ddca"},
    {"nvidia-open-model-2025-04-28",
     "a2edff0403a498e4a85ea8ad3d2b6bd118690eacc927cabc76a3325128041d42"},
    {"OpenMDW-1.1", "c6a80e5db1c7f9ca413d91b1bb240bd27a677828551a395675e3ce57834d103c"},
    {"qwen", "f2b7d47544c5df1d6af96cf5cbff9dd3f6552562d9844eed5871f3d45ce38cdf"},
    {"qwen-research", "4417961e4190fa3a2e33576baad6ba61527b0e3c2986ab0651259258b8e221ea"},
    {"stabilityai-ai-community",
     "165a00f39ce1d6c940c511f5d4898d0f110825c23623a8707c2efc66a63b87de"},
    {"stabilityai-nc-research", "44093bfee437a3917a76572ce64cde7b0a63369e5ce4b7a1d311c5fcf47c71f1"},
    {"tencent-hunyuan-3d-2.0", "191764d01b644cdbead67041c4562dd87d33f92019f379e1dcaa407eefc0893f"},
    {"tencent-hunyuan-a13b", "1268093b64f2cf2f9d174e9bd49518738b5b2d67d77cb669f625105a8a4360df"},
    {"tongyi-qianwen", "afbd9ced0e3f98d1d769ca9b81773b2829cc181c898c8634732e397280ee5203"},
    {"tongyi-qianwen-research", "47f2752fada564c6d27c3d0b3850678b99d91d3f723fbc04c76fbd6d6917458f"},
};

const char *license_of_digest(const uint8_t digest[LICENSE_DIGEST_BYTES])
{
    char hex[2 * LICENSE_DIGEST_BYTES + 1];
    for (size_t i = 0; i < LICENSE_DIGEST_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].digest, hex) == 0)
            return texts[i].id;
    return NULL;
}

bool license_text_is_known(const char *id)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].id, id) == 0)
            return true;
    return false;
}

const char *license_of_name(const char *name)
{
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (strcasecmp(ids[i], name) == 0)
            return ids[i];
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcasecmp(aliases[i].name, name) == 0)
            return aliases[i].id;
    return NULL;
}
