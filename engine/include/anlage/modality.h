/* Modalities: how medical images come to be, and what follows from it for training on them. One table, which specs, packing,
 * shards and the linter share.
 * In: a word. Out: its entry of the table, which is constant: usable from several threads. */
#ifndef ANLAGE_MODALITY_H
#define ANLAGE_MODALITY_H

#include <anlage/diagnostic.h>

/* What holds for the images of a modality as they are usually stored. Only what nearly always holds stands here: rules rely on
 * it. */
typedef enum anl_modality_trait {
    ANL_M_SIDED = 1, /* left and right are told apart: by the body (heart, liver) or by what is reported (left or right breast) */
    ANL_M_UPRIGHT = 2,      /* up and down are told apart: the head or the transducer is always at the top */
    ANL_M_HOUNSFIELD = 4,   /* stored values stand for Hounsfield units: water is 0, air -1000 */
    ANL_M_THICK_SLICES = 8, /* volumes mostly have slices farther apart (z) than pixels are (y, x) */
    ANL_M_COLOUR = 16,      /* photographs in visible light: three channels of colour */
} anl_modality_trait;

/* X(name, other words for it (DICOM's first, separated by blanks), traits, what it is) */
#define ANL_MODALITIES(X)                                                                                                        \
    X(radiograph, "CR DX RG RF XR X-ray xray CXR radiography radiographs projection", ANL_M_SIDED | ANL_M_UPRIGHT,               \
      "projection of the body by X-rays: chest, bones")                                                                          \
    X(mammography, "MG mammogram mammograms", ANL_M_SIDED | ANL_M_UPRIGHT, "projection of the breast by X-rays")                 \
    X(ct, "CT CAT", ANL_M_HOUNSFIELD | ANL_M_THICK_SLICES, "computed tomography: slices or volumes")                             \
    X(mr, "MR MRI MRT", ANL_M_THICK_SLICES, "magnetic resonance: slices or volumes; the scale of the values is arbitrary")       \
    X(pet, "PT NM SPECT PET", 0, "emission tomography and scintigraphy")                                                         \
    X(ultrasound, "US sonography sonogram echo", ANL_M_UPRIGHT,                                                                  \
      "sound from a transducer: depth runs down from it, and shadows with it")                                                   \
    X(oct, "OPT OCT", ANL_M_UPRIGHT, "optical coherence tomography, in which depth runs down")                                   \
    X(fundus, "OP", ANL_M_COLOUR, "photograph of the retina")                                                                    \
    X(endoscopy, "ES colonoscopy gastroscopy", ANL_M_COLOUR, "video images from inside the body")                                \
    X(dermoscopy, "DMS XC", ANL_M_COLOUR, "photograph of the skin")                                                              \
    X(microscopy, "SM GM histology histopathology pathology", ANL_M_COLOUR, "stained tissue through a microscope")               \
    X(other, "OT mixed unknown", 0, "anything else, or several at once: nothing is taken for granted")

typedef struct anl_modality {
    const char *name; /* the word in specs and shards */
    const char *also;
    int traits; /* anl_modality_trait, or'ed */
    const char *doc;
} anl_modality;

const anl_modality *anl_modality_at(int index);          /* NULL beyond the last */
const anl_modality *anl_modality_find(const char *name); /* by its name, exactly; NULL: there is none */
/* By another word for it (a DICOM code, a usual spelling), whatever its case. NULL: it says nothing. */
const anl_modality *anl_modality_meant(const char *word);
/* The one whose name or other word is nearest to a misspelt one, or NULL. */
const anl_modality *anl_modality_nearest(const char *word);
/* Adds to a problem with a word what there is, and which of it may be meant. */
void anl_modality_explain(anl_diagnostics *list, anl_diagnostic *d, const char *word);
/* The names, NULL-terminated. */
extern const char *const anl_modality_names[];

#endif
