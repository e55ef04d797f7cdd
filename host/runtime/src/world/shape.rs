//! Types of functions, from the contract's text and from a component's binary, in one form that can be compared.

use std::{collections::BTreeMap, fmt, sync::OnceLock};

use wasmparser::{
    PrimitiveValType,
    component_types::{
        ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentFuncTypeId, ComponentInstanceTypeId,
        ComponentValType, ResourceId,
    },
    types::TypesRef,
};
use wit_parser::{Handle, Resolve, SourceMap, Type, TypeDefKind};

/// The structure of a type. Names of records and the like do not count; names of fields, cases and resources do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Plain(String),
    List(Box<Shape>),
    Option(Box<Shape>),
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
    Tuple(Vec<Shape>),
    Record(Vec<(String, Shape)>),
    Variant(Vec<(String, Option<Shape>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Own(String),
    Borrow(String),
}

/// A function's parameters and result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    parameters: Vec<Shape>,
    result: Option<Shape>,
}

pub(super) type Functions = BTreeMap<String, Function>;

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: &[String]| names.join(", ");
        match self {
            Self::Plain(name) | Self::Own(name) => f.write_str(name),
            Self::Borrow(name) => write!(f, "borrow<{name}>"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Option(some) => write!(f, "option<{some}>"),
            Self::Result(ok, error) => {
                let part = |part: &Option<Box<Self>>| part.as_ref().map_or("_".to_owned(), ToString::to_string);
                write!(f, "result<{}, {}>", part(ok), part(error))
            }
            Self::Tuple(parts) => {
                write!(f, "tuple<{}>", parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Record(fields) => {
                write!(f, "a record of {}", names(&fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()))
            }
            Self::Variant(cases) => {
                write!(f, "a variant of {}", names(&cases.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()))
            }
            Self::Enum(cases) => write!(f, "an enum of {}", names(cases)),
            Self::Flags(flags) => write!(f, "flags of {}", names(flags)),
        }
    }
}

impl Function {
    /// Where `found` differs from `self`, in words.
    pub(super) fn difference(&self, found: &Self) -> Option<String> {
        if self.parameters.len() != found.parameters.len() {
            let (expected, found) = (self.parameters.len(), found.parameters.len());
            return Some(format!("it takes {found} parameters, expected {expected}"));
        }
        let parameters = self.parameters.iter().zip(&found.parameters).enumerate();
        let parameter = parameters
            .filter_map(|(at, (expected, found))| expected.difference(found, &format!("parameter {}", at + 1)))
            .next();
        parameter.or_else(|| match (&self.result, &found.result) {
            (None, None) => None,
            (Some(expected), Some(found)) => expected.difference(found, "the result"),
            (Some(expected), None) => Some(format!("it returns nothing, expected {expected}")),
            (None, Some(found)) => Some(format!("it returns {found}, expected nothing")),
        })
    }
}

impl Shape {
    /// The innermost difference: that is the one to mend.
    fn difference(&self, found: &Self, path: &str) -> Option<String> {
        let inner = |expected: Option<&Self>, found: Option<&Self>, part: &str| match (expected, found) {
            (Some(expected), Some(found)) => expected.difference(found, &format!("{path} → {part}")),
            (None, None) => None,
            _ => Some(format!(
                "{path} is {found_text}, expected {self}",
                found_text = found.map_or("nothing".to_owned(), ToString::to_string)
            )),
        };
        match (self, found) {
            (Self::List(expected), Self::List(found)) => inner(Some(expected), Some(found), "element"),
            (Self::Option(expected), Self::Option(found)) => inner(Some(expected), Some(found), "some"),
            (Self::Result(ok, error), Self::Result(found_ok, found_error)) => {
                inner(ok.as_deref(), found_ok.as_deref(), "ok")
                    .or_else(|| inner(error.as_deref(), found_error.as_deref(), "error"))
            }
            (Self::Record(expected), Self::Record(found)) if same_names(expected, found) => {
                let fields = expected.iter().zip(found);
                fields
                    .filter_map(|((name, one), (_, other))| inner(Some(one), Some(other), &format!("`{name}`")))
                    .next()
            }
            (Self::Variant(expected), Self::Variant(found)) if same_names(expected, found) => {
                let cases = expected.iter().zip(found);
                cases
                    .filter_map(|((name, one), (_, other))| inner(one.as_ref(), other.as_ref(), &format!("`{name}`")))
                    .next()
            }
            _ if self == found => None,
            _ => Some(format!("{path} is {found}, expected {self}")),
        }
    }
}

fn same_names<T>(one: &[(String, T)], other: &[(String, T)]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|((one, _), (other, _))| one == other)
}

/// Every interface of the contract, by its short name.
pub(super) fn contract() -> &'static BTreeMap<String, Functions> {
    static CONTRACT: OnceLock<BTreeMap<String, Functions>> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let mut sources = SourceMap::new();
        sources.push_str("tables.wit", include_str!("../../../../wit/tables.wit"));
        sources.push_str("host.wit", include_str!("../../../../wit/host.wit"));
        sources.push_str("grants.wit", include_str!("../../../../wit/grants.wit"));
        sources.push_str("stages.wit", include_str!("../../../../wit/stages.wit"));
        sources.push_str("worlds.wit", include_str!("../../../../wit/worlds.wit"));
        let mut resolve = Resolve::default();
        let group = sources.parse().expect("the contract parses: the bindings were made from it");
        resolve.push_group(group).expect("the contract resolves: the bindings were made from it");
        let interfaces = resolve.interfaces.iter().filter_map(|(_, interface)| {
            let functions = interface.functions.iter().map(|(name, function)| {
                let parameters = function.params.iter().map(|parameter| of_text(&resolve, &parameter.ty)).collect();
                let result = function.result.map(|result| of_text(&resolve, &result));
                (name.clone(), Function { parameters, result })
            });
            Some((interface.name.clone()?, functions.collect()))
        });
        interfaces.collect()
    })
}

fn of_text(resolve: &Resolve, ty: &Type) -> Shape {
    let plain = |name: &str| Shape::Plain(name.to_owned());
    let id = match ty {
        Type::Bool => return plain("bool"),
        Type::U8 => return plain("u8"),
        Type::U16 => return plain("u16"),
        Type::U32 => return plain("u32"),
        Type::U64 => return plain("u64"),
        Type::S8 => return plain("s8"),
        Type::S16 => return plain("s16"),
        Type::S32 => return plain("s32"),
        Type::S64 => return plain("s64"),
        Type::F32 => return plain("f32"),
        Type::F64 => return plain("f64"),
        Type::Char => return plain("char"),
        Type::String => return plain("string"),
        Type::ErrorContext => return plain("error-context"),
        Type::Id(id) => *id,
    };
    let of = |ty: &Type| of_text(resolve, ty);
    let boxed = |ty: &Option<Type>| ty.as_ref().map(|ty| Box::new(of(ty)));
    let resource = |id: wit_parser::TypeId| {
        let mut id = id;
        while let TypeDefKind::Type(Type::Id(alias)) = resolve.types[id].kind {
            id = alias;
        }
        resolve.types[id].name.clone().unwrap_or_default()
    };
    match &resolve.types[id].kind {
        TypeDefKind::Type(ty) => of(ty),
        TypeDefKind::List(element) => Shape::List(Box::new(of(element))),
        TypeDefKind::Option(some) => Shape::Option(Box::new(of(some))),
        TypeDefKind::Result(result) => Shape::Result(boxed(&result.ok), boxed(&result.err)),
        TypeDefKind::Tuple(tuple) => Shape::Tuple(tuple.types.iter().map(of).collect()),
        TypeDefKind::Record(record) => {
            Shape::Record(record.fields.iter().map(|field| (field.name.clone(), of(&field.ty))).collect())
        }
        TypeDefKind::Variant(variant) => {
            Shape::Variant(variant.cases.iter().map(|case| (case.name.clone(), case.ty.as_ref().map(of))).collect())
        }
        TypeDefKind::Enum(cases) => Shape::Enum(cases.cases.iter().map(|case| case.name.clone()).collect()),
        TypeDefKind::Flags(flags) => Shape::Flags(flags.flags.iter().map(|flag| flag.name.clone()).collect()),
        TypeDefKind::Handle(Handle::Own(id)) => Shape::Own(resource(*id)),
        TypeDefKind::Handle(Handle::Borrow(id)) => Shape::Borrow(resource(*id)),
        // `own<reader>` may be written `reader`.
        TypeDefKind::Resource => Shape::Own(resource(id)),
        _ => plain("a type that the contract does not use"),
    }
}

/// The functions of an interface that a component imports or exports.
pub(super) fn actual(types: TypesRef<'_>, instance: ComponentInstanceTypeId) -> Functions {
    let exports = &types[instance].exports;
    let resources = exports.iter().filter_map(|(name, item)| match item.ty {
        ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. } => {
            Some((id.resource(), name.clone()))
        }
        _ => None,
    });
    let resources: BTreeMap<ResourceId, String> = resources.collect();
    let functions = exports.iter().filter_map(|(name, item)| match item.ty {
        ComponentEntityType::Func(id) => Some((name.clone(), of_binary(types, &resources, id))),
        _ => None,
    });
    functions.collect()
}

fn of_binary(types: TypesRef<'_>, resources: &BTreeMap<ResourceId, String>, id: ComponentFuncTypeId) -> Function {
    let function = &types[id];
    let shape = |ty: &ComponentValType| value(types, resources, *ty);
    Function {
        parameters: function.params.iter().map(|(_, ty)| shape(ty)).collect(),
        result: function.result.as_ref().map(shape),
    }
}

fn value(types: TypesRef<'_>, resources: &BTreeMap<ResourceId, String>, ty: ComponentValType) -> Shape {
    let id = match ty {
        ComponentValType::Primitive(primitive) => return plain(primitive),
        ComponentValType::Type(id) => id,
    };
    let of = |ty: &ComponentValType| value(types, resources, *ty);
    let boxed = |ty: &Option<ComponentValType>| ty.as_ref().map(|ty| Box::new(of(ty)));
    let resource = |id: ResourceId| resources.get(&id).cloned().unwrap_or_else(|| "another resource".to_owned());
    match &types[id] {
        ComponentDefinedType::Primitive(primitive) => plain(*primitive),
        ComponentDefinedType::List { element, .. } => Shape::List(Box::new(of(element))),
        ComponentDefinedType::Option { ty, .. } => Shape::Option(Box::new(of(ty))),
        ComponentDefinedType::Result { ok, err, .. } => Shape::Result(boxed(ok), boxed(err)),
        ComponentDefinedType::Tuple(tuple) => Shape::Tuple(tuple.types.iter().map(of).collect()),
        ComponentDefinedType::Record(record) => {
            Shape::Record(record.fields.iter().map(|(name, ty)| (name.to_string(), of(ty))).collect())
        }
        ComponentDefinedType::Variant(variant) => Shape::Variant(
            variant.cases.iter().map(|(name, case)| (name.to_string(), case.ty.as_ref().map(of))).collect(),
        ),
        ComponentDefinedType::Enum(cases) => Shape::Enum(cases.iter().map(ToString::to_string).collect()),
        ComponentDefinedType::Flags(flags) => Shape::Flags(flags.iter().map(ToString::to_string).collect()),
        ComponentDefinedType::Own(id) => Shape::Own(resource(id.resource())),
        ComponentDefinedType::Borrow(id) => Shape::Borrow(resource(id.resource())),
        _ => Shape::Plain("a type that the contract does not use".to_owned()),
    }
}

fn plain(primitive: PrimitiveValType) -> Shape {
    Shape::Plain(primitive.to_string())
}
