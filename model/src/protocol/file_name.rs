//! What data files are called.
//!
//! Owns [`FileName`].
//! - I1: a name is `<job>-<generation>-<epoch>-<n>`, where a job's name that is too long is shortened; what is printed
//!   is read back, and puts are create-only, so that two writers never meet in one object (G1).

use std::fmt;
use std::str::FromStr;

use super::ledger::{Epoch, Generation};
use crate::error::{Error, Result};
use crate::name::JobName;
use crate::segment::Segment;

/// The name of a data file, without folder and extension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    job: Segment,
    pub generation: Generation,
    pub epoch: Epoch,
    /// Counts on whenever a put finds the name taken.
    pub number: u64,
}

impl FileName {
    pub fn new(job: &JobName, generation: Generation, epoch: Epoch, number: u64) -> Self {
        FileName { job: Segment::of(job.as_str()), generation, epoch, number }
    }

    /// Of a file, whatever its form: names that differ in that alone are two files.
    pub fn of_file(file: &str) -> Result<Self> {
        let forms = [".parquet", ".puffin"];
        forms.iter().find_map(|form| file.strip_suffix(form)).unwrap_or(file).parse()
    }

    pub fn is_of(&self, job: &JobName) -> bool {
        self.job == Segment::of(job.as_str())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.job, self.generation, self.epoch, self.number)
    }
}

impl FromStr for FileName {
    type Err = Error;

    /// From the right: job names may hold dashes and digits.
    fn from_str(text: &str) -> Result<Self> {
        let foreign = || Error::data(format!("{text:?} is not the name of a data file of ours"));
        let mut parts = text.rsplitn(4, '-');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or_else(foreign);
        let (number, epoch, generation) = (number()?, Epoch(number()?), Generation(number()?));
        let job = parts.next().and_then(Segment::of_plain_name).ok_or_else(foreign)?;
        let name = FileName { job, generation, epoch, number };
        if name.to_string() == text { Ok(name) } else { Err(foreign()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn i1_names_are_read_from_the_right_and_without_loss() {
        for (text, job, numbers) in [
            ("orders-1-2-3", "orders", (1, 2, 3)),
            ("bronze.or-ders-7-1-2-3", "bronze.or-ders-7", (1, 2, 3)),
            ("a-18446744073709551615-0-0", "a", (u64::MAX, 0, 0)),
        ] {
            let name: FileName = text.parse().unwrap();
            assert_eq!((name.generation.0, name.epoch.0, name.number), numbers);
            assert!(name.is_of(&job.parse().unwrap()), "{text}");
            assert_eq!(name.to_string(), text);
            for form in ["", ".parquet", ".puffin"] {
                assert_eq!(FileName::of_file(&format!("{text}{form}")).unwrap(), name);
            }
            assert!(FileName::of_file(&format!("{text}.avro")).is_err());
        }
        for foreign in [
            "",
            "orders",
            "1-2-3",
            "-1-2-3",
            "orders-1-2-x",
            "orders-01-2-3",
            "orders-+1-2-3",
            "a/b-1-2-3",
            "%20-1-2-3",
        ] {
            assert!(foreign.parse::<FileName>().is_err(), "{foreign}");
        }
    }

    proptest! {
        /// 249 letters are the longest that a job's name may have; above 180 it is shortened.
        #[test]
        fn i1_the_files_of_every_job_are_its_own(
            job in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}",
            other in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,248}",
            end in "[A-Za-z0-9._-]{1,20}",
            numbers in any::<(u64, u64, u64)>(),
        ) {
            let (generation, epoch, number) = (Generation(numbers.0), Epoch(numbers.1), numbers.2);
            let longer: String = job.chars().chain(end.chars()).take(249).collect();
            let job: JobName = job.parse().unwrap();
            let name = FileName::new(&job, generation, epoch, number);
            let text = name.to_string();
            prop_assert!(text.len() + ".parquet".len() <= 255, "{text}");
            prop_assert_eq!(&text.parse::<FileName>().unwrap(), &name);
            prop_assert!(name.is_of(&job));
            for other in [other, longer].map(|other| other.parse::<JobName>().unwrap()) {
                prop_assert_eq!(name.is_of(&other), job == other);
            }
        }
    }
}
