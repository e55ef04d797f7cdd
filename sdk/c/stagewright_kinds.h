/* Each kind's functions, by shorter names than the contract's. Included by stagewright.h. */
#ifndef STAGEWRIGHT_KINDS_H
#define STAGEWRIGHT_KINDS_H

#if defined(STAGEWRIGHT_PREPROCESSOR)
typedef exports_stagewright_stage_preprocessor_list_input_t sw_inputs;
typedef exports_stagewright_stage_preprocessor_list_output_t sw_outputs;
/* The plugin implements this: reads the inputs, writes the outputs. */
static bool sw_prepare(sw_inputs inputs, sw_outputs outputs, sw_string parameters, sw_failure *failure);

bool exports_stagewright_stage_preprocessor_prepare(sw_inputs *inputs, sw_outputs *outputs, sw_string *parameters,
                                                    sw_failure *failure) {
  return sw_prepare(*inputs, *outputs, *parameters, failure);
}
#endif

#if defined(STAGEWRIGHT_FEATURIZER) || defined(STAGEWRIGHT_MODEL)
/* What a loaded state or model remembers. The plugin defines it. */
typedef struct sw_loaded sw_loaded;

/* The plugin implements these: reads what was saved, for rows of these columns; says which columns it reads and which
 * it returns; and does its work on rows. Lists and columns are copies of the plugin's own, freed by the host. */
static bool sw_load(stagewright_list_u8_t saved, sw_fields fields, sw_loaded **loaded, sw_failure *failure);
static sw_fields sw_loaded_input(const sw_loaded *loaded);
static sw_fields sw_loaded_schema(const sw_loaded *loaded);
static bool sw_apply(const sw_loaded *loaded, const sw_batch *rows, sw_batch *result, sw_failure *failure);

/* The bindings free what is passed to exported functions only where they say so; copies are safe either way. */
#define SW_RESOURCE(path, resource, action)                                                                          \
  struct exports_stagewright_stage_##path##_##resource##_t {                                                         \
    sw_loaded *loaded;                                                                                                \
  };                                                                                                                  \
  void exports_stagewright_stage_##path##_##resource##_destructor(                                                   \
      exports_stagewright_stage_##path##_##resource##_t *self) {                                                     \
    free(self);                                                                                                       \
  }                                                                                                                   \
  bool exports_stagewright_stage_##path##_static_##resource##_load(                                                  \
      stagewright_list_u8_t *saved, exports_stagewright_stage_##path##_list_field_t *input,                          \
      exports_stagewright_stage_##path##_own_##resource##_t *result, sw_failure *failure) {                          \
    sw_fields borrowed = {input->ptr, input->len};                                                                   \
    exports_stagewright_stage_##path##_##resource##_t *self = sw_new(1, sizeof *self);                               \
    if (!sw_load(*saved, sw_fields_copy(&borrowed), &self->loaded, failure)) return false;                           \
    *result = exports_stagewright_stage_##path##_##resource##_new(self);                                             \
    return true;                                                                                                      \
  }                                                                                                                   \
  void exports_stagewright_stage_##path##_method_##resource##_input(                                                 \
      exports_stagewright_stage_##path##_borrow_##resource##_t self,                                                 \
      exports_stagewright_stage_##path##_list_field_t *result) {                                                     \
    sw_fields fields = sw_loaded_input(self->loaded);                                                                \
    result->ptr = fields.ptr, result->len = fields.len;                                                              \
  }                                                                                                                   \
  void exports_stagewright_stage_##path##_method_##resource##_schema(                                                \
      exports_stagewright_stage_##path##_borrow_##resource##_t self,                                                 \
      exports_stagewright_stage_##path##_list_field_t *result) {                                                     \
    sw_fields fields = sw_loaded_schema(self->loaded);                                                               \
    result->ptr = fields.ptr, result->len = fields.len;                                                              \
  }                                                                                                                   \
  bool exports_stagewright_stage_##path##_method_##resource##_##action(                                              \
      exports_stagewright_stage_##path##_borrow_##resource##_t self, sw_batch *rows, sw_batch *result,               \
      sw_failure *failure) {                                                                                          \
    bool ok = sw_apply(self->loaded, rows, result, failure);                                                          \
    sw_batch_free(rows);                                                                                              \
    return ok;                                                                                                        \
  }
#endif

#if defined(STAGEWRIGHT_FEATURIZER)
/* The plugin implements this: learns the state, in memory from malloc. */
static bool sw_fit(sw_reader training, sw_string parameters, stagewright_list_u8_t *state, sw_failure *failure);

bool exports_stagewright_stage_featurizer_fit(sw_reader training, sw_string *parameters, stagewright_list_u8_t *state,
                                              sw_failure *failure) {
  return sw_fit(training, *parameters, state, failure);
}
SW_RESOURCE(featurizer, features, transform)
#endif

#if defined(STAGEWRIGHT_MODEL)
/* The plugin implements this: learns the weights, in memory from malloc. `validation` is NULL where there is none. */
static bool sw_train(sw_reader training, sw_reader *validation, sw_string parameters, stagewright_list_u8_t *weights,
                     sw_failure *failure);

bool exports_stagewright_stage_trainer_train(sw_reader training, sw_reader *validation, sw_string *parameters,
                                             stagewright_list_u8_t *weights, sw_failure *failure) {
  return sw_train(training, validation, *parameters, weights, failure);
}
SW_RESOURCE(predictor, model, predict)
#endif

#if defined(STAGEWRIGHT_EVALUATOR) || defined(STAGEWRIGHT_FAIRNESS_CHECKER)
/* The plugin implements this: rows followed by their predictions; `model` is NULL where there is none. */
static bool sw_judge(sw_reader scored, sw_model *model, sw_string parameters, sw_report *report, sw_failure *failure);

#if defined(STAGEWRIGHT_EVALUATOR)
bool exports_stagewright_stage_evaluator_evaluate(
#else
bool exports_stagewright_stage_fairness_checker_check(
#endif
    sw_reader scored, sw_model *model, sw_string *parameters, sw_report *report, sw_failure *failure) {
  sw_report made = {0};
  if (!sw_judge(scored, model, *parameters, &made, failure)) return false;
  sw_report_finish(&made);
  *report = made;
  return true;
}
#endif

#if defined(STAGEWRIGHT_VALIDATOR)
/* The plugin implements this. */
static bool sw_validate(sw_reader table, sw_string parameters, sw_report *report, sw_failure *failure);

bool exports_stagewright_stage_validator_validate(sw_reader table, sw_string *parameters, sw_report *report,
                                                  sw_failure *failure) {
  sw_report made = {0};
  if (!sw_validate(table, *parameters, &made, failure)) return false;
  sw_report_finish(&made);
  *report = made;
  return true;
}
#endif

#if defined(STAGEWRIGHT_MONITOR)
/* The plugin implements this: `model` is NULL where there is none. */
static bool sw_observe(sw_reader reference, sw_reader current, sw_model *model, sw_string parameters, sw_report *report,
                       sw_failure *failure);

bool exports_stagewright_stage_monitor_observe(sw_reader reference, sw_reader current, sw_model *model,
                                               sw_string *parameters, sw_report *report, sw_failure *failure) {
  sw_report made = {0};
  if (!sw_observe(reference, current, model, *parameters, &made, failure)) return false;
  sw_report_finish(&made);
  *report = made;
  return true;
}
#endif

#endif
