//! The rows of one data file that is named, whichever snapshot has it or will.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use tableflow_model::{Error, Result};

/// Batches of a file's rows, with the columns that the file has.
#[derive(Debug)]
pub struct FileRows(ParquetRecordBatchReader);

impl FileRows {
    pub fn of(bytes: Bytes) -> Result<Self> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(ParquetRecordBatchReaderBuilder::build);
        reader.map(FileRows).map_err(|error| damaged().with_source(error))
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|batch| batch.map_err(|error| damaged().with_source(error)))
    }
}

fn damaged() -> Error {
    Error::data("a data file cannot be read").with_hint("restore the file from a backup of the data directory")
}
