//! Columns of a Parquet file, with every fault named: nothing is ever rounded or guessed.

use super::plausible::MOST_ROWS;
use super::table_error::{ColumnError, TableError};
use parquet::basic::{Compression, ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

/// Beyond it a float no longer holds every whole number.
const LARGEST_EXACT: i128 = 1 << 53;

/// A Parquet file whose columns can be read.
pub struct Table {
    reader: SerializedFileReader<File>,
}

/// Reads something from a file whose bytes may be any: the library that decodes pages panics at some.
///
/// # Errors
/// Those of `read`, and that a page is broken.
pub fn guarded<T>(read: impl FnOnce() -> Result<T, TableError>) -> Result<T, TableError> {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(AssertUnwindSafe(read));
    panic::set_hook(usual);
    outcome.unwrap_or(Err(TableError::BrokenPage))
}

/// How instants are stored.
#[derive(Clone, Copy)]
enum Instants {
    Numbers,
    Parts(&'static str, i64),
}

impl Table {
    /// Opens a file that should hold `what` in the named columns.
    ///
    /// # Errors
    /// When it cannot be read, is not Parquet, lacks a column or has it twice.
    pub fn open(path: &Path, what: &str, columns: &[&str]) -> Result<Self, TableError> {
        let unreadable = |error: String| TableError::Unreadable {
            what: what.to_owned(),
            columns: columns.join(", "),
            reason: error.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(TableError::NoFile);
        }
        let reader =
            SerializedFileReader::new(file).map_err(|error| unreadable(error.to_string()))?;
        let table = Self { reader };
        for name in columns {
            table.find(name)?;
        }
        let metadata = table.reader.metadata();
        let rows = metadata.file_metadata().num_rows();
        if rows > MOST_ROWS {
            return Err(TableError::TooManyRows(rows));
        }
        for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
            let known = matches!(
                column.compression(),
                Compression::ZSTD(_)
                    | Compression::SNAPPY
                    | Compression::GZIP(_)
                    | Compression::UNCOMPRESSED
            );
            if !known {
                return Err(TableError::Compression(column.compression().to_string()));
            }
        }
        Ok(table)
    }

    /// Instants in milliseconds.
    ///
    /// # Errors
    /// A column that holds something else, or a row without a whole millisecond.
    pub fn times(&self, name: &str) -> Result<Vec<i64>, TableError> {
        let index = self.find(name)?;
        let instants = self
            .column(index, name)
            .and_then(instants)
            .map_err(|error| TableError::column(name, error))?;
        let mut values = Vec::new();
        self.each(index, name, |reader| match reader {
            ColumnReader::Int64ColumnReader(reader) => drain(reader, &mut values, |value| value),
            _ => Err(TableError::column(name, ColumnError::NoTimes)),
        })?;
        let Instants::Parts(unit, per_ms) = instants else { return Ok(values) };
        if let Some(row) = values.iter().position(|value| value % per_ms != 0) {
            let (name, value) = (name.to_owned(), values[row]);
            return Err(TableError::NoMillisecond { row, name, value, unit });
        }
        Ok(values.into_iter().map(|value| value / per_ms).collect())
    }

    /// Numbers, each exactly as it is stored.
    ///
    /// # Errors
    /// A column that holds something else, or a row without a number that a float can hold.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, TableError> {
        let index = self.find(name)?;
        let signed = self
            .column(index, name)
            .and_then(is_signed)
            .map_err(|error| TableError::column(name, error))?;
        let mut values = Vec::new();
        let mut whole: Vec<i128> = Vec::new();
        self.each(index, name, |reader| match reader {
            ColumnReader::DoubleColumnReader(reader) => drain(reader, &mut values, |value| value),
            ColumnReader::Int64ColumnReader(reader) if signed => {
                drain(reader, &mut whole, i128::from)
            }
            ColumnReader::Int64ColumnReader(reader) => {
                drain(reader, &mut whole, |value| i128::from(value.cast_unsigned()))
            }
            ColumnReader::Int32ColumnReader(reader) if signed => {
                drain(reader, &mut whole, i128::from)
            }
            ColumnReader::Int32ColumnReader(reader) => {
                drain(reader, &mut whole, |value| i128::from(value.cast_unsigned()))
            }
            _ => Err(TableError::column(name, ColumnError::NoNumbers)),
        })?;
        if let Some(row) = whole.iter().position(|value| value.abs() > LARGEST_EXACT) {
            return Err(TableError::TooLarge { row, name: name.to_owned(), value: whole[row] });
        }
        #[allow(clippy::cast_precision_loss)] // Checked.
        values.extend(whole.into_iter().map(|value| value as f64));
        Ok(values)
    }

    /// The place of a column among the leaves of the schema.
    fn find(&self, name: &str) -> Result<usize, TableError> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields();
        let found = match fields.iter().filter(|field| field.name() == name).count() {
            0 => {
                let held: Vec<&str> = fields.iter().map(|field| field.name()).collect();
                Err(ColumnError::Missing(held.join(", ")))
            }
            1 => {
                let leaves = schema.columns().iter();
                let place = leaves.map(|leaf| leaf.path()).position(|path| path.parts()[0] == name);
                place.ok_or(ColumnError::Empty)
            }
            count => Err(ColumnError::Repeated(count)),
        };
        found.map_err(|error| TableError::column(name, error))
    }

    fn column(&self, index: usize, name: &str) -> Result<&ColumnDescriptor, ColumnError> {
        let column =
            self.reader.metadata().file_metadata().schema_descr().columns()[index].as_ref();
        if column.path().parts().len() > 1 || column.max_rep_level() > 0 {
            let other = if name == "ts" { "times; write int64" } else { "numbers; write float64" };
            return Err(ColumnError::Nested(other));
        }
        Ok(column)
    }

    /// Reads a column of every group of rows; a row without a value is reported by its number.
    fn each(
        &self,
        index: usize,
        name: &str,
        mut read: impl FnMut(ColumnReader) -> Result<Vec<i16>, TableError>,
    ) -> Result<(), TableError> {
        let broken = |error| TableError::column(name, ColumnError::Broken(error));
        let mut before = 0;
        for group in 0..self.reader.num_row_groups() {
            let rows = self.reader.get_row_group(group).map_err(broken)?;
            let reader = rows.get_column_reader(index).map_err(broken)?;
            let levels = read(reader)?;
            if let Some(row) = levels.iter().position(|level| *level == 0) {
                return Err(TableError::NoValue { row: before + row, name: name.to_owned() });
            }
            before += usize::try_from(rows.metadata().num_rows()).unwrap_or(0);
        }
        Ok(())
    }
}

/// How a column stores instants, or why it stores none.
fn instants(column: &ColumnDescriptor) -> Result<Instants, ColumnError> {
    let parts = |unit: &TimeUnit| match unit {
        TimeUnit::MILLIS => Instants::Parts("ms", 1),
        TimeUnit::MICROS => Instants::Parts("us", 1_000),
        TimeUnit::NANOS => Instants::Parts("ns", 1_000_000),
    };
    match (column.physical_type(), column.logical_type_ref(), column.converted_type()) {
        (Physical::INT64, Some(LogicalType::Timestamp { is_adjusted_to_u_t_c, unit }), _) => {
            if *is_adjusted_to_u_t_c {
                Ok(parts(unit))
            } else {
                Err(ColumnError::NoZone)
            }
        }
        (Physical::INT64, None, ConvertedType::TIMESTAMP_MILLIS) => Ok(parts(&TimeUnit::MILLIS)),
        (Physical::INT64, None, ConvertedType::TIMESTAMP_MICROS) => Ok(parts(&TimeUnit::MICROS)),
        (Physical::INT64, Some(LogicalType::Integer { is_signed: true, .. }), _)
        | (Physical::INT64, None, ConvertedType::NONE | ConvertedType::INT_64) => {
            Ok(Instants::Numbers)
        }
        (Physical::INT96, ..) => Err(ColumnError::NoZone),
        _ => Err(ColumnError::NotTimes(kind(column))),
    }
}

/// Whether a column's whole numbers have a sign, or why it holds no numbers.
fn is_signed(column: &ColumnDescriptor) -> Result<bool, ColumnError> {
    let whole = matches!(column.physical_type(), Physical::INT32 | Physical::INT64);
    match (column.physical_type(), column.logical_type_ref(), column.converted_type()) {
        (Physical::DOUBLE, ..) => Ok(true),
        (Physical::FLOAT, ..) => Err(ColumnError::LostDigits("float32")),
        (_, Some(LogicalType::Float16), _) => Err(ColumnError::LostDigits("float16")),
        (_, Some(LogicalType::Integer { is_signed, .. }), _) if whole => Ok(*is_signed),
        (_, Some(LogicalType::Unknown), _) => Ok(true),
        (_, None, converted) if whole => match converted {
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Ok(false),
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64 => Ok(true),
            _ => Err(ColumnError::NotNumbers(kind(column))),
        },
        _ => Err(ColumnError::NotNumbers(kind(column))),
    }
}

/// What a column holds, for a person.
fn kind(column: &ColumnDescriptor) -> String {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(logical), _) => format!("{logical:?}").to_lowercase(),
        (None, ConvertedType::NONE) => column.physical_type().to_string().to_lowercase(),
        (None, converted) => converted.to_string().to_lowercase(),
    }
}

/// All values of a column chunk; gives one level for each row of a column that may lack values: 0
/// where it does.
fn drain<T: DataType, V>(
    mut reader: ColumnReaderImpl<T>,
    into: &mut Vec<V>,
    turn: impl Fn(T::T) -> V,
) -> Result<Vec<i16>, TableError> {
    let (mut all, mut levels) = (Vec::new(), Vec::new());
    loop {
        let (records, _, _) = reader
            .read_records(65_536, Some(&mut levels), None, &mut all)
            .map_err(TableError::Page)?;
        if records == 0 {
            into.extend(all.into_iter().map(turn));
            return Ok(levels);
        }
    }
}
