/* Every diagnostic code, once. Stable: a code is never reused (508 has been given up). X(number, severity, name)
 * The page of each, with examples that are tested, is frontend/rules/A<number>.md. */
#ifndef ANLAGE_DIAGNOSTIC_CODES_H
#define ANLAGE_DIAGNOSTIC_CODES_H

#define ANL_DIAGNOSTIC_CODES(X)                                                                                        \
    /* 01 text */                                                                                                      \
    X(101, ERROR, yaml_syntax)                                                                                         \
    X(102, ERROR, duplicate_key)                                                                                       \
    X(103, ERROR, invalid_utf8)                                                                                        \
    X(104, ERROR, empty_file)                                                                                          \
    X(105, ERROR, too_deep)                                                                                            \
    X(106, ERROR, alias_limit)                                                                                         \
    X(107, ERROR, expression_syntax)                                                                                   \
    X(108, ERROR, unquoted_expression)                                                                                 \
    X(109, ERROR, file_unreadable)                                                                                     \
    X(110, ERROR, import_missing)                                                                                      \
    X(111, ERROR, import_loop)                                                                                         \
    X(112, ERROR, language_version)                                                                                    \
    X(113, WARNING, allow_invalid)                                                                                     \
    X(114, WARNING, allow_unused)                                                                                      \
    X(115, ERROR, invisible_character)                                                                                 \
    X(116, WARNING, leading_zero)                                                                                      \
    X(117, ERROR, yaml_word)                                                                                           \
    X(118, WARNING, word_as_text)                                                                                      \
    X(119, ERROR, missing_blank)                                                                                       \
    X(120, ERROR, foreign_character)                                                                                   \
    /* 02 names */                                                                                                     \
    X(201, ERROR, unknown_key)                                                                                         \
    X(202, ERROR, unknown_name)                                                                                        \
    X(203, ERROR, unknown_function)                                                                                    \
    X(204, ERROR, unknown_argument)                                                                                    \
    X(205, ERROR, missing_argument)                                                                                    \
    X(206, ERROR, unknown_param)                                                                                       \
    X(207, ERROR, unknown_axis)                                                                                        \
    X(208, ERROR, unknown_member)                                                                                      \
    X(209, ERROR, duplicate_name)                                                                                      \
    X(210, ERROR, missing_key)                                                                                         \
    X(211, ERROR, glob_matches_nothing)                                                                                \
    X(212, ERROR, name_needed)                                                                                         \
    X(213, WARNING, unused_name)                                                                                       \
    X(214, WARNING, unused_import)                                                                                     \
    X(215, WARNING, unused_function)                                                                                   \
    X(216, WARNING, unused_rest)                                                                                       \
    X(217, WARNING, hidden_name)                                                                                       \
    X(230, ERROR, random_default)                                                                                      \
    /* 03 types, units, ranges */                                                                                      \
    X(301, ERROR, type_mismatch)                                                                                       \
    X(302, ERROR, out_of_range)                                                                                        \
    X(303, ERROR, bad_unit)                                                                                            \
    X(304, ERROR, not_static)                                                                                          \
    X(305, ERROR, bad_number)                                                                                          \
    /* 04 axes */                                                                                                      \
    X(306, WARNING, list_length)                                                                                       \
    X(401, ERROR, axis_mismatch)                                                                                       \
    X(402, ERROR, outer_product)                                                                                       \
    X(403, ERROR, missing_over)                                                                                        \
    X(404, ERROR, missing_axis)                                                                                        \
    X(405, ERROR, duplicate_axis)                                                                                      \
    X(406, ERROR, empty_result)                                                                                        \
    X(407, ERROR, loss_has_axes)                                                                                       \
    X(408, ERROR, too_many_axes)                                                                                       \
    /* 05 graph */                                                                                                     \
    X(409, WARNING, stride_without_room)                                                                               \
    X(501, ERROR, cycle)                                                                                               \
    X(502, ERROR, missing_gradient)                                                                                    \
    X(503, ERROR, weight_without_gradient)                                                                             \
    X(504, ERROR, loss_without_weights)                                                                                \
    X(505, ERROR, state_called_twice)                                                                                  \
    X(506, WARNING, unused_node)                                                                                       \
    X(507, ERROR, recursion)                                                                                           \
    X(509, ERROR, weight_without_rule)                                                                                 \
    X(510, ERROR, graph_invalid)                                                                                       \
    /* 06 program */                                                                                                   \
    X(511, WARNING, rule_without_effect)                                                                               \
    X(512, WARNING, after_the_end)                                                                                     \
    X(513, WARNING, nothing_learns)                                                                                    \
    X(601, ERROR, program_limit)                                                                                       \
    X(602, ERROR, program_invalid)                                                                                     \
    /* 07 device */                                                                                                    \
    X(701, ERROR, device_missing)                                                                                      \
    X(702, ERROR, device_unfit)                                                                                        \
    X(703, ERROR, device_call)                                                                                         \
    X(704, ERROR, device_lost)                                                                                         \
    X(705, ERROR, device_memory)                                                                                       \
    X(706, ERROR, device_range)                                                                                        \
    X(707, ERROR, shader_build)                                                                                        \
    X(708, WARNING, device_cache)                                                                                      \
    /* 08 data */                                                                                                      \
    X(801, ERROR, image_unreadable)                                                                                    \
    X(802, ERROR, labels_invalid)                                                                                      \
    X(803, ERROR, shard_invalid)                                                                                       \
    X(804, ERROR, shard_missing)                                                                                       \
    X(805, ERROR, field_mismatch)                                                                                      \
    X(806, ERROR, data_write)                                                                                          \
    X(807, WARNING, image_skipped)                                                                                     \
    X(808, ERROR, data_too_small)                                                                                      \
    X(809, WARNING, image_pages)                                                                                       \
    X(810, WARNING, duplicate_rows)                                                                                    \
    X(811, WARNING, patients_unknown)                                                                                  \
    X(812, ERROR, values_mixed)                                                                                        \
    X(813, ERROR, pack_changed)                                                                                        \
    X(814, WARNING, image_in_two_splits)                                                                               \
    X(815, WARNING, image_of_two_patients)                                                                             \
    X(816, WARNING, image_labelled_twice)                                                                              \
    X(817, WARNING, ids_in_names)                                                                                      \
    X(818, ERROR, salt_unusable)                                                                                       \
    X(819, ERROR, pack_altered)                                                                                        \
    X(820, WARNING, boxes_left_out)                                                                                    \
    X(821, WARNING, boxes_cut)                                                                                         \
    X(830, ERROR, preview_output)                                                                                      \
    X(831, ERROR, preview_missing)                                                                                     \
    X(832, ERROR, preview_empty)                                                                                       \
    /* 09 run */                                                                                                       \
    X(901, ERROR, checkpoint_invalid)                                                                                  \
    X(902, ERROR, checkpoint_mismatch)                                                                                 \
    X(903, ERROR, checkpoint_write)                                                                                    \
    X(904, ERROR, loss_not_finite)                                                                                     \
    X(905, WARNING, loss_stuck)                                                                                        \
    X(906, ERROR, run_folder)                                                                                          \
    X(907, ERROR, feed_invalid)                                                                                        \
    X(908, ERROR, fetch_unknown)                                                                                       \
    X(909, WARNING, checkpoint_skipped)                                                                                \
    X(910, ERROR, metric_invalid)                                                                                      \
    X(911, ERROR, recipe_changed)                                                                                      \
    X(912, ERROR, layout_unsafe)                                                                                       \
    /* 10 numerics */                                                                                                  \
    X(1001, WARNING, few_samples)                                                                                      \
    X(1002, WARNING, uneven_queue)                                                                                     \
    X(1003, WARNING, early_queue)                                                                                      \
    X(1004, WARNING, unnormalised_scores)                                                                              \
    X(1005, WARNING, biased_prototypes)                                                                                \
    X(1006, WARNING, exp_overflow)                                                                                     \
    X(1007, WARNING, exp_underflow)                                                                                    \
    X(1008, ERROR, temperature)                                                                                        \
    X(1009, WARNING, small_temperature)                                                                                \
    X(1010, WARNING, identical_views)                                                                                  \
    X(1011, WARNING, rate_scaled_twice)                                                                                \
    X(1012, WARNING, decayed_norms)                                                                                    \
    X(1013, ERROR, division_by_zero)                                                                                   \
    X(1014, WARNING, log_of_zero)                                                                                      \
    X(1015, WARNING, softmax_twice)                                                                                    \
    X(1016, WARNING, vanishing_divisor)                                                                                \
    X(1017, WARNING, root_of_zero)                                                                                     \
    X(1018, WARNING, assignment_learns)                                                                                \
    X(1019, WARNING, teacher_momentum)                                                                                 \
    X(1020, WARNING, few_statistics)                                                                                   \
    X(1021, WARNING, endless_warmup)                                                                                   \
    X(1022, WARNING, rate_not_positive)                                                                                \
    X(1023, WARNING, weightless_loss)                                                                                  \
    X(1024, WARNING, shared_draw)                                                                                      \
    /* 11 modality and data */                                                                                         \
    X(1101, ERROR, unknown_modality)                                                                                   \
    X(1102, WARNING, mirrored)                                                                                         \
    X(1103, WARNING, upside_down)                                                                                      \
    X(1104, WARNING, colour_on_grey)                                                                                   \
    X(1105, WARNING, threshold_outside)                                                                                \
    X(1106, WARNING, natural_image_scale)                                                                              \
    X(1107, WARNING, jitter_before_window)                                                                             \
    X(1108, WARNING, window_outside)                                                                                   \
    X(1109, WARNING, blur_in_pixels)                                                                                   \
    X(1110, WARNING, rotation_anisotropic)                                                                             \
    X(1111, WARNING, inverted_grey)                                                                                    \
    X(1112, WARNING, rescale_ignored)                                                                                  \
    X(1113, ERROR, patient_in_two_splits)                                                                              \
    X(1114, WARNING, patient_in_two_packs)                                                                             \
    X(1115, WARNING, modality_mismatch)                                                                                \
    X(1116, WARNING, boxes_unmoved)                                                                                    \
    /* 12 resources */                                                                                                 \
    X(1201, ERROR, memory_exceeded)                                                                                    \
    X(1202, ERROR, assume_invalid)

enum {
#define X(number, severity, name) ANL_A_##name = number,
    ANL_DIAGNOSTIC_CODES(X)
#undef X
};

#endif
