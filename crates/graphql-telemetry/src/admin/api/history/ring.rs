//! The latest samples, in memory of a fixed size.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq, SerializeStruct},
};

use super::INTERVAL;

/// Samples that are kept.
const SAMPLES: usize = 900;

/// The values of some series at the same times. Serialized, it is the response of
/// `/debug/api/history`.
pub struct Ring {
    names: Vec<String>,
    /// In Unix seconds, oldest first.
    times: VecDeque<f64>,
    /// Those of a time after one another.
    values: VecDeque<f32>,
}

impl Ring {
    /// Makes a ring of the series with these names. From here on its memory stays the same.
    pub fn new(names: Vec<String>) -> Self {
        let values = VecDeque::with_capacity(SAMPLES * names.len());
        Self { names, times: VecDeque::with_capacity(SAMPLES), values }
    }

    /// Appends a sample, a value for each name, and drops the oldest if there are 900.
    pub fn push(&mut self, time: SystemTime, values: &[f32]) {
        assert_eq!(values.len(), self.names.len(), "a value for each series");
        if self.times.len() == SAMPLES {
            self.times.pop_front();
            self.values.drain(..values.len());
        }
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.times.push_back((time.as_secs_f64() * 1000.0).round() / 1000.0);
        self.values.extend(values);
    }

    /// Returns the newest sample, which serialized is the data of the event `sample`.
    pub fn latest(&self) -> Latest<'_> {
        Latest(self)
    }

    fn series(&self, index: usize) -> Series<'_> {
        Series { ring: self, index }
    }
}

impl Serialize for Ring {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let series = |index| self.series(index);
        let mut history = serializer.serialize_struct("History", 3)?;
        history.serialize_field("interval", &INTERVAL.as_secs_f64())?;
        history.serialize_field("time", &self.times)?;
        history.serialize_field("series", &Named { names: &self.names, values: series })?;
        history.end()
    }
}

/// The newest sample of a ring.
pub struct Latest<'a>(&'a Ring);

impl Serialize for Latest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Ring { names, times, values } = self.0;
        let start = values.len() - names.len();
        let value = |index| Number(values[start + index]);
        let mut sample = serializer.serialize_struct("Sample", 2)?;
        sample.serialize_field("time", &times.back())?;
        sample.serialize_field("series", &Named { names, values: value })?;
        sample.end()
    }
}

/// A map of what each series has.
struct Named<'a, F> {
    names: &'a [String],
    values: F,
}

impl<T: Serialize, F: Fn(usize) -> T> Serialize for Named<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.len()))?;
        for (index, name) in self.names.iter().enumerate() {
            map.serialize_entry(name, &(self.values)(index))?;
        }
        map.end()
    }
}

/// All values of a series.
struct Series<'a> {
    ring: &'a Ring,
    index: usize,
}

impl Serialize for Series<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { ring, index } = self;
        let mut values = serializer.serialize_seq(Some(ring.times.len()))?;
        for value in ring.values.iter().skip(*index).step_by(ring.names.len()) {
            values.serialize_element(&Number(*value))?;
        }
        values.end()
    }
}

/// A number as JSON has it: 14 and not 14.0, and null where there is none.
struct Number(f32);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(number) = *self;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole")]
        if !number.is_finite() {
            serializer.serialize_none()
        } else if number.fract() == 0.0 {
            serializer.serialize_i64(number as i64)
        } else {
            serializer.serialize_f32(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ring() -> Ring {
        Ring::new(vec!["tasks".to_owned(), "worker.0.busy".to_owned()])
    }

    fn at(seconds: usize) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64)
    }

    #[test]
    fn serializes_as_documented() {
        let mut ring = ring();
        ring.push(at(1), &[14.0, f32::NAN]);
        ring.push(at(2), &[15.0, 0.12]);
        let text = serde_json::to_string(&ring).unwrap();
        let expected = r#"{"interval":1.0,"time":[1.0,2.0],"series":{"tasks":[14,15],"worker.0.busy":[null,0.12]}}"#;
        assert_eq!(text, expected);
        let latest: Value = serde_json::to_value(ring.latest()).unwrap();
        assert_eq!(latest["time"], json!(2.0));
        assert_eq!(latest["series"]["tasks"], json!(15));
    }

    #[test]
    fn keeps_the_latest_samples_in_the_same_memory() {
        let mut ring = ring();
        let capacity = |ring: &Ring| (ring.times.capacity(), ring.values.capacity());
        let before = capacity(&ring);
        assert_eq!(before, (SAMPLES, 2 * SAMPLES));
        for second in 0..3 * SAMPLES {
            #[expect(clippy::cast_precision_loss, reason = "fewer than 2^24")]
            ring.push(at(second), &[second as f32, 0.5]);
        }
        assert_eq!(capacity(&ring), before);
        let json = serde_json::to_value(&ring).unwrap();
        let tasks = json["series"]["tasks"].as_array().unwrap();
        assert_eq!((tasks.len(), json["time"].as_array().unwrap().len()), (SAMPLES, SAMPLES));
        assert_eq!((&tasks[0], &tasks[SAMPLES - 1]), (&json!(1800), &json!(2699)));
        assert_eq!(json["time"][0], json!(1800.0));
    }
}
