//! `forebay lookup-table`: tables that scripts fill by `PUT /lookup-tables/{id}`.

use super::{Common, Done, out};
use clap::Subcommand;
use forebay_control::LookupTable as Table;
use forebay_record::ProjectId;

/// Create and list lookup tables
#[derive(Debug, Subcommand)]
pub(crate) enum LookupTable {
    /// Create a table; its rows come by PUT /lookup-tables/{id}
    Create {
        /// The project it belongs to
        #[arg(long, value_name = "ID")]
        project: ProjectId,
        /// The name, for people
        #[arg(long)]
        name: String,
        /// The UUID, where a team brings an existing table's
        #[arg(long, value_name = "UUID")]
        id: Option<String>,
    },
    /// List tables
    List {
        /// Only this project's
        #[arg(long, value_name = "ID")]
        project: Option<ProjectId>,
    },
}

impl LookupTable {
    pub(crate) fn run(self, common: &Common) -> Done {
        let control = common.existing_control()?;
        let tables = match self {
            LookupTable::Create { project, name, id } => {
                vec![control.create_lookup_table(project, &name, id.as_deref())?]
            }
            LookupTable::List { project: Some(project) } => {
                control.host().project(project.as_u64())?;
                control.list_lookup_tables(project)?
            }
            LookupTable::List { project: None } => {
                let mut all = Vec::new();
                for project in control.host().projects()?.iter().filter_map(|p| ProjectId::new(p.project.id))
                {
                    all.extend(control.list_lookup_tables(project)?);
                }
                all
            }
        };
        let mut out = common.out();
        if out.json {
            for table in &tables {
                out.value(table)?;
            }
        } else {
            let rows: Vec<_> = tables.iter().map(row).collect();
            out.table(["ID", "NAME", "PROJECT", "ROWS", "SIZE", "REPLACED (UTC)"], &rows)?;
        }
        out.done()
    }
}

fn row(table: &Table) -> [String; 6] {
    let file = table.file.as_ref();
    [
        table.id.clone(),
        out::clipped(&table.name, 40),
        table.project_id.to_string(),
        file.map_or_else(|| "-".to_owned(), |f| f.rows.to_string()),
        file.map_or_else(|| "-".to_owned(), |f| out::bytes(f.bytes)),
        table.replaced_at_ms.map_or_else(|| "never".to_owned(), out::time),
    ]
}
