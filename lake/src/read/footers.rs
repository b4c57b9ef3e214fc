//! What the ends of data files say: where their row groups and columns are.
//!
//! Owns [`Footers`], read where a scan is planned and kept for whoever reads the files.
//! - I1: a footer is read once for a scan, with one request where it is not long.
//! - I2: the index of pages is not read with it: a filter asks for it, and rows that are left out by their positions are
//!   read several times slower where it is there.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::Result;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ParquetMetaData;

/// Most footers are shorter.
const FOOTER_BYTES: usize = 1 << 16;

/// Those of some files.
#[derive(Debug)]
pub struct Footers {
    files: DefaultParquetFileReaderFactory,
    of: HashMap<Path, Arc<ParquetMetaData>>,
}

impl Footers {
    pub fn new(store: Arc<dyn ObjectStore>, of: HashMap<Path, Arc<ParquetMetaData>>) -> Self {
        Footers { files: DefaultParquetFileReaderFactory::new(store), of }
    }

    /// I1.
    pub async fn read(store: &dyn ObjectStore, file: &ObjectMeta) -> Result<Arc<ParquetMetaData>> {
        DFParquetMetadata::new(store, file).with_metadata_size_hint(Some(FOOTER_BYTES)).fetch_metadata().await
    }
}

impl ParquetFileReaderFactory for Footers {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let footer = self.of.get(&file.object_meta.location).cloned();
        let rows = self.files.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(match footer {
            Some(footer) => Box::new(WithFooter { rows, footer }),
            None => rows,
        })
    }
}

/// A file whose footer is known.
struct WithFooter {
    rows: Box<dyn AsyncFileReader + Send>,
    footer: Arc<ParquetMetaData>,
}

impl AsyncFileReader for WithFooter {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.rows.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.rows.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let footer = self.footer.clone();
        async move { Ok(footer) }.boxed()
    }
}
