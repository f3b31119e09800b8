//! A graph as bytes: one file for small graphs; for large ones a second file with the weights beside it, which ONNX
//! Runtime maps into memory instead of reading.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use prost::Message;

use super::builder::{Attribute, Axis, GraphBuilder, Node, Port, Value};
use super::proto::{
    AttributeProto, DATA_LOCATION_EXTERNAL, DimensionProto, DimensionValue, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto, attribute_type,
};
use super::tensor::Tensor;

/// `ai.onnx` 20 is the first opset with Gelu; IR 10 goes with it or later.
const OPSET: i64 = 20;
const IR_VERSION: i64 = 10;

/// ONNX Runtime maps external data at any multiple of the page size without a copy.
const ALIGN: u64 = 4096;

/// Constants below this stay in the graph file, where shape inference sees them.
const INLINE: usize = 1024;

impl GraphBuilder {
    /// The whole graph as one ONNX file. For graphs below 2 GB, the limit of the format.
    ///
    /// # Panics
    /// If memory ends.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model(|tensor| Ok(inline(tensor)))
            .expect("nothing is written to a file")
            .encode_to_vec()
    }

    /// Writes the graph to `folder/name`, and larger constants to `folder/name.data`. Neither may exist: a
    /// half-written pair is for the caller to throw away.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn save(&self, folder: &Path, name: &str) -> io::Result<()> {
        let data_name = format!("{name}.data");
        let mut data = BufWriter::new(File::create_new(folder.join(&data_name))?);
        let mut at = 0;
        let model = self.model(|tensor| {
            if tensor.bytes() < INLINE {
                return Ok(inline(tensor));
            }
            let start = u64::next_multiple_of(at, ALIGN);
            let length = tensor.bytes() as u64;
            io::copy(&mut io::repeat(0).take(start - at), &mut data)?;
            tensor.write_to(&mut data)?;
            at = start + length;
            Ok(external(&data_name, start, length))
        })?;
        data.into_inner()?.sync_all()?;
        let mut file = File::create_new(folder.join(name))?;
        file.write_all(&model.encode_to_vec())?;
        file.sync_all()
    }

    fn model(
        &self,
        mut place: impl FnMut(&Tensor) -> io::Result<TensorProto>,
    ) -> io::Result<ModelProto> {
        let mut initializer = Vec::with_capacity(self.constants.len());
        for (value, tensor) in &self.constants {
            let name = self.name_of(*value);
            initializer.push(TensorProto {
                dims: tensor.dims().iter().map(|&n| as_i64(n)).collect(),
                data_type: tensor.element_type() as i32,
                name: name.to_owned(),
                ..place(tensor)?
            });
        }
        let graph = GraphProto {
            node: self.nodes.iter().map(|node| self.node(node)).collect(),
            name: "graph".to_owned(),
            initializer,
            input: self.inputs.iter().map(|port| self.port(port)).collect(),
            output: self.outputs.iter().map(|port| self.port(port)).collect(),
        };
        Ok(ModelProto {
            ir_version: IR_VERSION,
            producer_name: "tantivy-dense".to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        })
    }

    fn node(&self, node: &Node) -> NodeProto {
        let names = |values: &[Value]| {
            values.iter().map(|&value| self.name_of(value).to_owned()).collect::<Vec<_>>()
        };
        let output = names(&node.outputs);
        NodeProto {
            input: names(&node.inputs),
            name: output.first().cloned().unwrap_or_default(),
            output,
            op_type: node.operator.to_owned(),
            attribute: node.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        }
    }

    fn port(&self, port: &Port) -> ValueInfoProto {
        let dim = port.axes.iter().map(|axis| DimensionProto {
            value: match axis {
                Axis::Fixed(length) => Some(DimensionValue::Fixed(as_i64(*length))),
                Axis::Named(name) => Some(DimensionValue::Named((*name).to_owned())),
                Axis::Unknown => None,
            },
        });
        let tensor = TensorTypeProto {
            elem_type: port.element as i32,
            shape: Some(TensorShapeProto { dim: dim.collect() }),
        };
        ValueInfoProto {
            name: self.name_of(port.value).to_owned(),
            r#type: Some(TypeProto { tensor_type: Some(tensor) }),
        }
    }
}

fn inline(tensor: &Tensor) -> TensorProto {
    let mut raw = Vec::with_capacity(tensor.bytes());
    tensor.write_to(&mut raw).expect("a Vec takes all bytes");
    TensorProto { raw_data: Some(raw), ..TensorProto::default() }
}

fn external(file: &str, offset: u64, length: u64) -> TensorProto {
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
    TensorProto {
        external_data: vec![
            entry("location", file.to_owned()),
            entry("offset", offset.to_string()),
            entry("length", length.to_string()),
        ],
        data_location: Some(DATA_LOCATION_EXTERNAL),
        ..TensorProto::default()
    }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let named = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    match value {
        Attribute::Int(i) => AttributeProto { i: Some(*i), r#type: attribute_type::INT, ..named },
        Attribute::Float(f) => {
            AttributeProto { f: Some(*f), r#type: attribute_type::FLOAT, ..named }
        }
        Attribute::Ints(ints) => {
            AttributeProto { ints: ints.clone(), r#type: attribute_type::INTS, ..named }
        }
        Attribute::Text(text) => {
            let s = Some(text.as_bytes().to_vec());
            AttributeProto { s, r#type: attribute_type::STRING, ..named }
        }
    }
}

fn as_i64(length: usize) -> i64 {
    i64::try_from(length).expect("no axis is longer than memory")
}
