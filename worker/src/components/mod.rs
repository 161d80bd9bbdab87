//! The controls and displays that a page shows beside a stream's video, with the names and fields
//! that Gradio gives them.

mod inputs;
mod numbers;
mod outputs;
mod texts;
mod value;

use std::collections::HashSet;

pub use inputs::{Checkbox, ColorPicker, InputComponent};
pub use numbers::{Number, Slider};
pub use outputs::{Json, Label, LinePlot, OutputComponent, Text};
use reframe_proto::{MAX_COMPONENTS, is_component_name};
pub use texts::{Dropdown, Textbox};
pub(crate) use value::{InputValue, colour};

/// The fields that all components have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) info: String,
}

impl About {
    fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { label: name.clone(), name, info: String::new() }
    }
}

/// The setter of all components.
macro_rules! described {
    ($($component:ident),*) => {$(
        impl $component {
            /// The text beside the component; its name unless set.
            pub fn label(mut self, label: impl Into<String>) -> Self {
                self.about.label = label.into();
                self
            }
        }
    )*};
}
use described;

/// The setter of all inputs.
macro_rules! explained {
    ($($component:ident),*) => {$(
        impl $component {
            /// A text below the control that explains it.
            pub fn info(mut self, info: impl Into<String>) -> Self {
                self.about.info = info.into();
                self
            }
        }
    )*};
}
use explained;

/// What is wrong with the names of one list of components: `what` is `input` or `output`.
pub(crate) fn check_names<'a>(
    what: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    let mut seen = HashSet::new();
    for name in names {
        if !is_component_name(name) {
            let rule = "a name is a letter, then letters, digits and _, 64 at most, and neither webrtc_id nor session_token";
            return Err(format!("{what} {name:?}: {rule}"));
        }
        if !seen.insert(name) {
            return Err(format!("{what} {name:?} is declared twice"));
        }
    }

    if seen.len() > MAX_COMPONENTS {
        return Err(format!(
            "{} {what}s are declared, {MAX_COMPONENTS} at most may be",
            seen.len()
        ));
    }
    Ok(())
}
