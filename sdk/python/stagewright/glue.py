"""Between the component's bindings and the SDK. Written for `plugin build`; a plugin never needs it."""

# What the standard library would only load when it is needed, from files that a sandbox does not have.
import encodings.ascii
import encodings.latin_1
import encodings.utf_16
import encodings.utf_16_be
import encodings.utf_16_le
import encodings.utf_32
import encodings.utf_32_be
import encodings.utf_32_le
import encodings.utf_8_sig
import inspect
import sys
import types

from componentize_py_types import Err
from wit_world.imports import context as host_context
from wit_world.imports import failures, tables
from wit_world.exports import plugin as plugin_interface

from . import context, stages
from .failures import Failure, InvalidData, InvalidParameter, InvalidState
from .parameters import parse, schema
from .table import Field, Series, Table

context._host = host_context

_FAILURES = {
    InvalidParameter: failures.Failure_InvalidParameter,
    InvalidData: failures.Failure_InvalidData,
    InvalidState: failures.Failure_InvalidState,
}
_TO_TYPE = {kind.name.lower(): kind for kind in tables.ColumnType}
_FROM_TYPE = {kind: kind.name.lower() for kind in tables.ColumnType}
# How many bytes one written batch may have, well below the contract's 16 MiB.
_BATCH_BYTES = 8 << 20


def _refusal(error):
    if isinstance(error, Err):
        return error
    for kind, case in _FAILURES.items():
        if isinstance(error, kind):
            return Err(case(str(error)))
    # The standard library's tracebacks would look for source files, of which a sandbox has none.
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f" ({trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return Err(failures.Failure_Internal(f"{type(error).__name__}: {error}{place}"))


def _told(work):
    """Runs work; whatever goes wrong becomes the contract's failure."""
    try:
        return work()
    except BaseException as error:  # A trap would tell the user nothing.
        raise _refusal(error) from None


def _field(field):
    return Field(field.name, _FROM_TYPE[field.type], field.nullable)


def _fields_out(fields):
    return [tables.Field(field.name, _TO_TYPE[field.type], field.nullable) for field in fields]


def _table(fields, batch):
    columns = [
        Series(field.name, field.type, batch.rows, column.values, column.validity, column.offsets, column.words)
        for field, column in zip(fields, batch.columns)
    ]
    return Table(columns, batch.rows)


def _batch(table):
    columns = [
        tables.Column(bytes(one._values), one._validity, one._offsets, one.words if one.type == "category" else None)
        for one in table.columns
    ]
    return tables.Batch(table.rows, columns)


class HostReader(stages.Reader):
    def __init__(self, host):
        self._host = host
        self.fields = [_field(field) for field in host.schema()]
        self.rows = host.rows()

    def _next(self, places, rows):
        batch = self._host.next(places, rows)
        return None if batch is None else _table([self.fields[place] for place in places], batch)

    def rewind(self):
        self._host.rewind()


class HostWriter(stages.Writer):
    def __init__(self, host):
        self._host = host

    def start(self, fields):
        self._host.start(_fields_out(fields))

    def write(self, table):
        if table.rows == 0:
            return
        weight = sum(len(column._values) + len(column._offsets or b"") for column in table.columns)
        if weight > _BATCH_BYTES and table.rows > 1:
            half = table.rows // 2
            self.write(table.slice(0, half))
            self.write(table.slice(half, table.rows))
        else:
            self._host.write(_batch(table))


class Model:
    """The model behind an evaluator's, fairness checker's or monitor's handle."""

    def __init__(self, host):
        self._host = host
        self.input = [_field(field) for field in host.input()]
        self.fields = [_field(field) for field in host.schema()]

    def predict(self, table):
        """Predictions for these rows, of which the columns that the model reads are taken."""
        chosen = Table([table[field.name] for field in self.input], table.rows)
        return _table(self.fields, self._host.predict(_batch(chosen)))


def _report(report):
    from wit_world.imports import reports

    def labels(pairs):
        return [reports.Label(name.replace("_", "-"), str(value)) for name, value in pairs.items()]

    metrics = [
        reports.Metric(name, labels(pairs), *(None if one is None else float(one) for one in (value, low, high)),
                       support)
        for name, value, support, low, high, pairs in report.metrics
    ]
    findings = [reports.Finding(reports.Severity[level.upper()], message, labels(pairs))
                for level, message, pairs in report.findings]
    return reports.Report(metrics, findings, [reports.Figure(*figure) for figure in report.figures])


def _model(host):
    return None if host is None else Model(host)


def _loaded(base_method, last):
    """The resource of a featurizer or predictor: what `load` returned, behind the contract's four functions."""

    class Loaded:
        @classmethod
        def load(cls, saved, fields):
            self = cls()
            self._fields = [_field(field) for field in fields]
            self._inner = _told(lambda: base_method(bytes(saved), self._fields))
            return self

        def input(self):
            return _fields_out(self._inner.input())

        def schema(self):
            return _fields_out(self._inner.schema())

    def apply(self, rows):
        return _told(lambda: _batch(getattr(self._inner, last)(_table(self._fields, rows))))

    setattr(Loaded, last, apply)
    return Loaded


def _calls(stage):
    """The functions that the contract's interface has, by name."""
    def parameters(text):
        return parse(stage.Parameters, text)

    def report(method):
        return lambda scored, model, text: _told(
            lambda: _report(method(HostReader(scored), _model(model), parameters(text))))

    kinds = {
        stages.Preprocessor: lambda: {"prepare": lambda inputs, outputs, text: _told(lambda: stage.prepare(
            {one.name: HostReader(one.table) for one in inputs}, {one.name: HostWriter(one.table) for one in outputs},
            parameters(text)))},
        stages.Featurizer: lambda: {"fit": lambda training, text: _told(
            lambda: bytes(stage.fit(HostReader(training), parameters(text))))},
        stages.Trainer: lambda: {"train": lambda training, validation, text: _told(lambda: bytes(stage.train(
            HostReader(training), None if validation is None else HostReader(validation), parameters(text))))},
        stages.Predictor: lambda: {},
        stages.Evaluator: lambda: {"evaluate": report(stage.evaluate)},
        stages.FairnessChecker: lambda: {"check": report(stage.check)},
        stages.Validator: lambda: {"validate": lambda table, text: _told(
            lambda: _report(stage.validate(HostReader(table), parameters(text))))},
        stages.Monitor: lambda: {"observe": lambda reference, current, model, text: _told(lambda: _report(stage.observe(
            HostReader(reference), HostReader(current), _model(model), parameters(text))))},
    }
    return next((kind, calls()) for kind, calls in kinds.items() if isinstance(stage, kind))


def _described(stage, kind):
    def ports(all):
        return [plugin_interface.Port(port.name, port.doc, port.optional) for port in all]

    # The kind's name, in the contract's spelling of constants.
    name = "".join("_" + one if one.isupper() else one.upper() for one in kind.__name__).lstrip("_")
    doc = inspect.cleandoc(type(stage).__doc__ or "").split("\n\n")[0].replace("\n", " ")
    taken = schema(stage.Parameters) if kind is not stages.Predictor else ""
    return plugin_interface.Stage(plugin_interface.Kind[name], doc, taken, ports(getattr(stage, "INPUTS", [])),
                                  ports(getattr(stage, "OUTPUTS", [])))


def export(module, place):
    """Puts what the component exports into the entry module: one class for each interface."""
    found = [one for one in vars(module).values()
             if inspect.isclass(one) and issubclass(one, stages.Stage) and one.__module__ == module.__name__]
    described = []
    for one in found:
        stage = one()
        kind, calls = _calls(stage)
        described.append(_described(stage, kind))
        methods = {name: (lambda call: lambda self, *arguments: call(*arguments))(call) for name, call in calls.items()}
        place[kind.__name__] = type(kind.__name__, (), methods)
        for base, interface, resource, last in (
            (stages.Featurizer, "featurizer", "Features", "transform"), (stages.Predictor, "predictor", "Model", "predict"),
        ):
            if kind is base:
                # The bindings look for resources in a module of the interface's name.
                home = types.ModuleType(interface)
                setattr(home, resource, _loaded(stage.load, last))
                sys.modules[interface] = home
    place["Plugin"] = type("Plugin", (), {"describe": lambda self: described})
