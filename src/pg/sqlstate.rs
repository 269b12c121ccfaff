//! The names of PostgreSQL's error codes.
//!
//! Use these constants, never literal codes: a misspelt name does not compile. The list is that of PostgreSQL 15;
//! nothing else belongs here.

use crate::error::SqlState;

/// 00000 (success, Class 00 - Successful Completion).
pub const SUCCESSFUL_COMPLETION: SqlState = SqlState::new("00000");

/// 01000 (warning, Class 01 - Warning).
pub const WARNING: SqlState = SqlState::new("01000");

/// 0100C (warning, Class 01 - Warning).
pub const WARNING_DYNAMIC_RESULT_SETS_RETURNED: SqlState = SqlState::new("0100C");

/// 01008 (warning, Class 01 - Warning).
pub const WARNING_IMPLICIT_ZERO_BIT_PADDING: SqlState = SqlState::new("01008");

/// 01003 (warning, Class 01 - Warning).
pub const WARNING_NULL_VALUE_ELIMINATED_IN_SET_FUNCTION: SqlState = SqlState::new("01003");

/// 01007 (warning, Class 01 - Warning).
pub const WARNING_PRIVILEGE_NOT_GRANTED: SqlState = SqlState::new("01007");

/// 01006 (warning, Class 01 - Warning).
pub const WARNING_PRIVILEGE_NOT_REVOKED: SqlState = SqlState::new("01006");

/// 01004 (warning, Class 01 - Warning).
pub const WARNING_STRING_DATA_RIGHT_TRUNCATION: SqlState = SqlState::new("01004");

/// 01P01 (warning, Class 01 - Warning).
pub const WARNING_DEPRECATED_FEATURE: SqlState = SqlState::new("01P01");

/// 02000 (warning, Class 02 - No Data (this is also a warning class per the SQL standard)).
pub const NO_DATA: SqlState = SqlState::new("02000");

/// 02001 (warning, Class 02 - No Data (this is also a warning class per the SQL standard)).
pub const NO_ADDITIONAL_DYNAMIC_RESULT_SETS_RETURNED: SqlState = SqlState::new("02001");

/// 03000 (error, Class 03 - SQL Statement Not Yet Complete).
pub const SQL_STATEMENT_NOT_YET_COMPLETE: SqlState = SqlState::new("03000");

/// 08000 (error, Class 08 - Connection Exception).
pub const CONNECTION_EXCEPTION: SqlState = SqlState::new("08000");

/// 08003 (error, Class 08 - Connection Exception).
pub const CONNECTION_DOES_NOT_EXIST: SqlState = SqlState::new("08003");

/// 08006 (error, Class 08 - Connection Exception).
pub const CONNECTION_FAILURE: SqlState = SqlState::new("08006");

/// 08001 (error, Class 08 - Connection Exception).
pub const SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION: SqlState = SqlState::new("08001");

/// 08004 (error, Class 08 - Connection Exception).
pub const SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION: SqlState = SqlState::new("08004");

/// 08007 (error, Class 08 - Connection Exception).
pub const TRANSACTION_RESOLUTION_UNKNOWN: SqlState = SqlState::new("08007");

/// 08P01 (error, Class 08 - Connection Exception).
pub const PROTOCOL_VIOLATION: SqlState = SqlState::new("08P01");

/// 09000 (error, Class 09 - Triggered Action Exception).
pub const TRIGGERED_ACTION_EXCEPTION: SqlState = SqlState::new("09000");

/// 0A000 (error, Class 0A - Feature Not Supported).
pub const FEATURE_NOT_SUPPORTED: SqlState = SqlState::new("0A000");

/// 0B000 (error, Class 0B - Invalid Transaction Initiation).
pub const INVALID_TRANSACTION_INITIATION: SqlState = SqlState::new("0B000");

/// 0F000 (error, Class 0F - Locator Exception).
pub const LOCATOR_EXCEPTION: SqlState = SqlState::new("0F000");

/// 0F001 (error, Class 0F - Locator Exception).
pub const L_E_INVALID_SPECIFICATION: SqlState = SqlState::new("0F001");

/// 0L000 (error, Class 0L - Invalid Grantor).
pub const INVALID_GRANTOR: SqlState = SqlState::new("0L000");

/// 0LP01 (error, Class 0L - Invalid Grantor).
pub const INVALID_GRANT_OPERATION: SqlState = SqlState::new("0LP01");

/// 0P000 (error, Class 0P - Invalid Role Specification).
pub const INVALID_ROLE_SPECIFICATION: SqlState = SqlState::new("0P000");

/// 0Z000 (error, Class 0Z - Diagnostics Exception).
pub const DIAGNOSTICS_EXCEPTION: SqlState = SqlState::new("0Z000");

/// 0Z002 (error, Class 0Z - Diagnostics Exception).
pub const STACKED_DIAGNOSTICS_ACCESSED_WITHOUT_ACTIVE_HANDLER: SqlState = SqlState::new("0Z002");

/// 20000 (error, Class 20 - Case Not Found).
pub const CASE_NOT_FOUND: SqlState = SqlState::new("20000");

/// 21000 (error, Class 21 - Cardinality Violation).
pub const CARDINALITY_VIOLATION: SqlState = SqlState::new("21000");

/// 22000 (error, Class 22 - Data Exception).
pub const DATA_EXCEPTION: SqlState = SqlState::new("22000");

/// 2202E (error, Class 22 - Data Exception).
pub const ARRAY_ELEMENT_ERROR: SqlState = SqlState::new("2202E");

/// 2202E (error, Class 22 - Data Exception).
pub const ARRAY_SUBSCRIPT_ERROR: SqlState = SqlState::new("2202E");

/// 22021 (error, Class 22 - Data Exception).
pub const CHARACTER_NOT_IN_REPERTOIRE: SqlState = SqlState::new("22021");

/// 22008 (error, Class 22 - Data Exception).
pub const DATETIME_FIELD_OVERFLOW: SqlState = SqlState::new("22008");

/// 22008 (error, Class 22 - Data Exception).
pub const DATETIME_VALUE_OUT_OF_RANGE: SqlState = SqlState::new("22008");

/// 22012 (error, Class 22 - Data Exception).
pub const DIVISION_BY_ZERO: SqlState = SqlState::new("22012");

/// 22005 (error, Class 22 - Data Exception).
pub const ERROR_IN_ASSIGNMENT: SqlState = SqlState::new("22005");

/// 2200B (error, Class 22 - Data Exception).
pub const ESCAPE_CHARACTER_CONFLICT: SqlState = SqlState::new("2200B");

/// 22022 (error, Class 22 - Data Exception).
pub const INDICATOR_OVERFLOW: SqlState = SqlState::new("22022");

/// 22015 (error, Class 22 - Data Exception).
pub const INTERVAL_FIELD_OVERFLOW: SqlState = SqlState::new("22015");

/// 2201E (error, Class 22 - Data Exception).
pub const INVALID_ARGUMENT_FOR_LOG: SqlState = SqlState::new("2201E");

/// 22014 (error, Class 22 - Data Exception).
pub const INVALID_ARGUMENT_FOR_NTILE: SqlState = SqlState::new("22014");

/// 22016 (error, Class 22 - Data Exception).
pub const INVALID_ARGUMENT_FOR_NTH_VALUE: SqlState = SqlState::new("22016");

/// 2201F (error, Class 22 - Data Exception).
pub const INVALID_ARGUMENT_FOR_POWER_FUNCTION: SqlState = SqlState::new("2201F");

/// 2201G (error, Class 22 - Data Exception).
pub const INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION: SqlState = SqlState::new("2201G");

/// 22018 (error, Class 22 - Data Exception).
pub const INVALID_CHARACTER_VALUE_FOR_CAST: SqlState = SqlState::new("22018");

/// 22007 (error, Class 22 - Data Exception).
pub const INVALID_DATETIME_FORMAT: SqlState = SqlState::new("22007");

/// 22019 (error, Class 22 - Data Exception).
pub const INVALID_ESCAPE_CHARACTER: SqlState = SqlState::new("22019");

/// 2200D (error, Class 22 - Data Exception).
pub const INVALID_ESCAPE_OCTET: SqlState = SqlState::new("2200D");

/// 22025 (error, Class 22 - Data Exception).
pub const INVALID_ESCAPE_SEQUENCE: SqlState = SqlState::new("22025");

/// 22P06 (error, Class 22 - Data Exception).
pub const NONSTANDARD_USE_OF_ESCAPE_CHARACTER: SqlState = SqlState::new("22P06");

/// 22010 (error, Class 22 - Data Exception).
pub const INVALID_INDICATOR_PARAMETER_VALUE: SqlState = SqlState::new("22010");

/// 22023 (error, Class 22 - Data Exception).
pub const INVALID_PARAMETER_VALUE: SqlState = SqlState::new("22023");

/// 22013 (error, Class 22 - Data Exception).
pub const INVALID_PRECEDING_OR_FOLLOWING_SIZE: SqlState = SqlState::new("22013");

/// 2201B (error, Class 22 - Data Exception).
pub const INVALID_REGULAR_EXPRESSION: SqlState = SqlState::new("2201B");

/// 2201W (error, Class 22 - Data Exception).
pub const INVALID_ROW_COUNT_IN_LIMIT_CLAUSE: SqlState = SqlState::new("2201W");

/// 2201X (error, Class 22 - Data Exception).
pub const INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE: SqlState = SqlState::new("2201X");

/// 2202H (error, Class 22 - Data Exception).
pub const INVALID_TABLESAMPLE_ARGUMENT: SqlState = SqlState::new("2202H");

/// 2202G (error, Class 22 - Data Exception).
pub const INVALID_TABLESAMPLE_REPEAT: SqlState = SqlState::new("2202G");

/// 22009 (error, Class 22 - Data Exception).
pub const INVALID_TIME_ZONE_DISPLACEMENT_VALUE: SqlState = SqlState::new("22009");

/// 2200C (error, Class 22 - Data Exception).
pub const INVALID_USE_OF_ESCAPE_CHARACTER: SqlState = SqlState::new("2200C");

/// 2200G (error, Class 22 - Data Exception).
pub const MOST_SPECIFIC_TYPE_MISMATCH: SqlState = SqlState::new("2200G");

/// 22004 (error, Class 22 - Data Exception).
pub const NULL_VALUE_NOT_ALLOWED: SqlState = SqlState::new("22004");

/// 22002 (error, Class 22 - Data Exception).
pub const NULL_VALUE_NO_INDICATOR_PARAMETER: SqlState = SqlState::new("22002");

/// 22003 (error, Class 22 - Data Exception).
pub const NUMERIC_VALUE_OUT_OF_RANGE: SqlState = SqlState::new("22003");

/// 2200H (error, Class 22 - Data Exception).
pub const SEQUENCE_GENERATOR_LIMIT_EXCEEDED: SqlState = SqlState::new("2200H");

/// 22026 (error, Class 22 - Data Exception).
pub const STRING_DATA_LENGTH_MISMATCH: SqlState = SqlState::new("22026");

/// 22001 (error, Class 22 - Data Exception).
pub const STRING_DATA_RIGHT_TRUNCATION: SqlState = SqlState::new("22001");

/// 22011 (error, Class 22 - Data Exception).
pub const SUBSTRING_ERROR: SqlState = SqlState::new("22011");

/// 22027 (error, Class 22 - Data Exception).
pub const TRIM_ERROR: SqlState = SqlState::new("22027");

/// 22024 (error, Class 22 - Data Exception).
pub const UNTERMINATED_C_STRING: SqlState = SqlState::new("22024");

/// 2200F (error, Class 22 - Data Exception).
pub const ZERO_LENGTH_CHARACTER_STRING: SqlState = SqlState::new("2200F");

/// 22P01 (error, Class 22 - Data Exception).
pub const FLOATING_POINT_EXCEPTION: SqlState = SqlState::new("22P01");

/// 22P02 (error, Class 22 - Data Exception).
pub const INVALID_TEXT_REPRESENTATION: SqlState = SqlState::new("22P02");

/// 22P03 (error, Class 22 - Data Exception).
pub const INVALID_BINARY_REPRESENTATION: SqlState = SqlState::new("22P03");

/// 22P04 (error, Class 22 - Data Exception).
pub const BAD_COPY_FILE_FORMAT: SqlState = SqlState::new("22P04");

/// 22P05 (error, Class 22 - Data Exception).
pub const UNTRANSLATABLE_CHARACTER: SqlState = SqlState::new("22P05");

/// 2200L (error, Class 22 - Data Exception).
pub const NOT_AN_XML_DOCUMENT: SqlState = SqlState::new("2200L");

/// 2200M (error, Class 22 - Data Exception).
pub const INVALID_XML_DOCUMENT: SqlState = SqlState::new("2200M");

/// 2200N (error, Class 22 - Data Exception).
pub const INVALID_XML_CONTENT: SqlState = SqlState::new("2200N");

/// 2200S (error, Class 22 - Data Exception).
pub const INVALID_XML_COMMENT: SqlState = SqlState::new("2200S");

/// 2200T (error, Class 22 - Data Exception).
pub const INVALID_XML_PROCESSING_INSTRUCTION: SqlState = SqlState::new("2200T");

/// 22030 (error, Class 22 - Data Exception).
pub const DUPLICATE_JSON_OBJECT_KEY_VALUE: SqlState = SqlState::new("22030");

/// 22031 (error, Class 22 - Data Exception).
pub const INVALID_ARGUMENT_FOR_SQL_JSON_DATETIME_FUNCTION: SqlState = SqlState::new("22031");

/// 22032 (error, Class 22 - Data Exception).
pub const INVALID_JSON_TEXT: SqlState = SqlState::new("22032");

/// 22033 (error, Class 22 - Data Exception).
pub const INVALID_SQL_JSON_SUBSCRIPT: SqlState = SqlState::new("22033");

/// 22034 (error, Class 22 - Data Exception).
pub const MORE_THAN_ONE_SQL_JSON_ITEM: SqlState = SqlState::new("22034");

/// 22035 (error, Class 22 - Data Exception).
pub const NO_SQL_JSON_ITEM: SqlState = SqlState::new("22035");

/// 22036 (error, Class 22 - Data Exception).
pub const NON_NUMERIC_SQL_JSON_ITEM: SqlState = SqlState::new("22036");

/// 22037 (error, Class 22 - Data Exception).
pub const NON_UNIQUE_KEYS_IN_A_JSON_OBJECT: SqlState = SqlState::new("22037");

/// 22038 (error, Class 22 - Data Exception).
pub const SINGLETON_SQL_JSON_ITEM_REQUIRED: SqlState = SqlState::new("22038");

/// 22039 (error, Class 22 - Data Exception).
pub const SQL_JSON_ARRAY_NOT_FOUND: SqlState = SqlState::new("22039");

/// 2203A (error, Class 22 - Data Exception).
pub const SQL_JSON_MEMBER_NOT_FOUND: SqlState = SqlState::new("2203A");

/// 2203B (error, Class 22 - Data Exception).
pub const SQL_JSON_NUMBER_NOT_FOUND: SqlState = SqlState::new("2203B");

/// 2203C (error, Class 22 - Data Exception).
pub const SQL_JSON_OBJECT_NOT_FOUND: SqlState = SqlState::new("2203C");

/// 2203D (error, Class 22 - Data Exception).
pub const TOO_MANY_JSON_ARRAY_ELEMENTS: SqlState = SqlState::new("2203D");

/// 2203E (error, Class 22 - Data Exception).
pub const TOO_MANY_JSON_OBJECT_MEMBERS: SqlState = SqlState::new("2203E");

/// 2203F (error, Class 22 - Data Exception).
pub const SQL_JSON_SCALAR_REQUIRED: SqlState = SqlState::new("2203F");

/// 2203G (error, Class 22 - Data Exception).
pub const SQL_JSON_ITEM_CANNOT_BE_CAST_TO_TARGET_TYPE: SqlState = SqlState::new("2203G");

/// 23000 (error, Class 23 - Integrity Constraint Violation).
pub const INTEGRITY_CONSTRAINT_VIOLATION: SqlState = SqlState::new("23000");

/// 23001 (error, Class 23 - Integrity Constraint Violation).
pub const RESTRICT_VIOLATION: SqlState = SqlState::new("23001");

/// 23502 (error, Class 23 - Integrity Constraint Violation).
pub const NOT_NULL_VIOLATION: SqlState = SqlState::new("23502");

/// 23503 (error, Class 23 - Integrity Constraint Violation).
pub const FOREIGN_KEY_VIOLATION: SqlState = SqlState::new("23503");

/// 23505 (error, Class 23 - Integrity Constraint Violation).
pub const UNIQUE_VIOLATION: SqlState = SqlState::new("23505");

/// 23514 (error, Class 23 - Integrity Constraint Violation).
pub const CHECK_VIOLATION: SqlState = SqlState::new("23514");

/// 23P01 (error, Class 23 - Integrity Constraint Violation).
pub const EXCLUSION_VIOLATION: SqlState = SqlState::new("23P01");

/// 24000 (error, Class 24 - Invalid Cursor State).
pub const INVALID_CURSOR_STATE: SqlState = SqlState::new("24000");

/// 25000 (error, Class 25 - Invalid Transaction State).
pub const INVALID_TRANSACTION_STATE: SqlState = SqlState::new("25000");

/// 25001 (error, Class 25 - Invalid Transaction State).
pub const ACTIVE_SQL_TRANSACTION: SqlState = SqlState::new("25001");

/// 25002 (error, Class 25 - Invalid Transaction State).
pub const BRANCH_TRANSACTION_ALREADY_ACTIVE: SqlState = SqlState::new("25002");

/// 25008 (error, Class 25 - Invalid Transaction State).
pub const HELD_CURSOR_REQUIRES_SAME_ISOLATION_LEVEL: SqlState = SqlState::new("25008");

/// 25003 (error, Class 25 - Invalid Transaction State).
pub const INAPPROPRIATE_ACCESS_MODE_FOR_BRANCH_TRANSACTION: SqlState = SqlState::new("25003");

/// 25004 (error, Class 25 - Invalid Transaction State).
pub const INAPPROPRIATE_ISOLATION_LEVEL_FOR_BRANCH_TRANSACTION: SqlState = SqlState::new("25004");

/// 25005 (error, Class 25 - Invalid Transaction State).
pub const NO_ACTIVE_SQL_TRANSACTION_FOR_BRANCH_TRANSACTION: SqlState = SqlState::new("25005");

/// 25006 (error, Class 25 - Invalid Transaction State).
pub const READ_ONLY_SQL_TRANSACTION: SqlState = SqlState::new("25006");

/// 25007 (error, Class 25 - Invalid Transaction State).
pub const SCHEMA_AND_DATA_STATEMENT_MIXING_NOT_SUPPORTED: SqlState = SqlState::new("25007");

/// 25P01 (error, Class 25 - Invalid Transaction State).
pub const NO_ACTIVE_SQL_TRANSACTION: SqlState = SqlState::new("25P01");

/// 25P02 (error, Class 25 - Invalid Transaction State).
pub const IN_FAILED_SQL_TRANSACTION: SqlState = SqlState::new("25P02");

/// 25P03 (error, Class 25 - Invalid Transaction State).
pub const IDLE_IN_TRANSACTION_SESSION_TIMEOUT: SqlState = SqlState::new("25P03");

/// 26000 (error, Class 26 - Invalid SQL Statement Name).
pub const INVALID_SQL_STATEMENT_NAME: SqlState = SqlState::new("26000");

/// 27000 (error, Class 27 - Triggered Data Change Violation).
pub const TRIGGERED_DATA_CHANGE_VIOLATION: SqlState = SqlState::new("27000");

/// 28000 (error, Class 28 - Invalid Authorization Specification).
pub const INVALID_AUTHORIZATION_SPECIFICATION: SqlState = SqlState::new("28000");

/// 28P01 (error, Class 28 - Invalid Authorization Specification).
pub const INVALID_PASSWORD: SqlState = SqlState::new("28P01");

/// 2B000 (error, Class 2B - Dependent Privilege Descriptors Still Exist).
pub const DEPENDENT_PRIVILEGE_DESCRIPTORS_STILL_EXIST: SqlState = SqlState::new("2B000");

/// 2BP01 (error, Class 2B - Dependent Privilege Descriptors Still Exist).
pub const DEPENDENT_OBJECTS_STILL_EXIST: SqlState = SqlState::new("2BP01");

/// 2D000 (error, Class 2D - Invalid Transaction Termination).
pub const INVALID_TRANSACTION_TERMINATION: SqlState = SqlState::new("2D000");

/// 2F000 (error, Class 2F - SQL Routine Exception).
pub const SQL_ROUTINE_EXCEPTION: SqlState = SqlState::new("2F000");

/// 2F005 (error, Class 2F - SQL Routine Exception).
pub const S_R_E_FUNCTION_EXECUTED_NO_RETURN_STATEMENT: SqlState = SqlState::new("2F005");

/// 2F002 (error, Class 2F - SQL Routine Exception).
pub const S_R_E_MODIFYING_SQL_DATA_NOT_PERMITTED: SqlState = SqlState::new("2F002");

/// 2F003 (error, Class 2F - SQL Routine Exception).
pub const S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED: SqlState = SqlState::new("2F003");

/// 2F004 (error, Class 2F - SQL Routine Exception).
pub const S_R_E_READING_SQL_DATA_NOT_PERMITTED: SqlState = SqlState::new("2F004");

/// 34000 (error, Class 34 - Invalid Cursor Name).
pub const INVALID_CURSOR_NAME: SqlState = SqlState::new("34000");

/// 38000 (error, Class 38 - External Routine Exception).
pub const EXTERNAL_ROUTINE_EXCEPTION: SqlState = SqlState::new("38000");

/// 38001 (error, Class 38 - External Routine Exception).
pub const E_R_E_CONTAINING_SQL_NOT_PERMITTED: SqlState = SqlState::new("38001");

/// 38002 (error, Class 38 - External Routine Exception).
pub const E_R_E_MODIFYING_SQL_DATA_NOT_PERMITTED: SqlState = SqlState::new("38002");

/// 38003 (error, Class 38 - External Routine Exception).
pub const E_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED: SqlState = SqlState::new("38003");

/// 38004 (error, Class 38 - External Routine Exception).
pub const E_R_E_READING_SQL_DATA_NOT_PERMITTED: SqlState = SqlState::new("38004");

/// 39000 (error, Class 39 - External Routine Invocation Exception).
pub const EXTERNAL_ROUTINE_INVOCATION_EXCEPTION: SqlState = SqlState::new("39000");

/// 39001 (error, Class 39 - External Routine Invocation Exception).
pub const E_R_I_E_INVALID_SQLSTATE_RETURNED: SqlState = SqlState::new("39001");

/// 39004 (error, Class 39 - External Routine Invocation Exception).
pub const E_R_I_E_NULL_VALUE_NOT_ALLOWED: SqlState = SqlState::new("39004");

/// 39P01 (error, Class 39 - External Routine Invocation Exception).
pub const E_R_I_E_TRIGGER_PROTOCOL_VIOLATED: SqlState = SqlState::new("39P01");

/// 39P02 (error, Class 39 - External Routine Invocation Exception).
pub const E_R_I_E_SRF_PROTOCOL_VIOLATED: SqlState = SqlState::new("39P02");

/// 39P03 (error, Class 39 - External Routine Invocation Exception).
pub const E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED: SqlState = SqlState::new("39P03");

/// 3B000 (error, Class 3B - Savepoint Exception).
pub const SAVEPOINT_EXCEPTION: SqlState = SqlState::new("3B000");

/// 3B001 (error, Class 3B - Savepoint Exception).
pub const S_E_INVALID_SPECIFICATION: SqlState = SqlState::new("3B001");

/// 3D000 (error, Class 3D - Invalid Catalog Name).
pub const INVALID_CATALOG_NAME: SqlState = SqlState::new("3D000");

/// 3F000 (error, Class 3F - Invalid Schema Name).
pub const INVALID_SCHEMA_NAME: SqlState = SqlState::new("3F000");

/// 40000 (error, Class 40 - Transaction Rollback).
pub const TRANSACTION_ROLLBACK: SqlState = SqlState::new("40000");

/// 40002 (error, Class 40 - Transaction Rollback).
pub const T_R_INTEGRITY_CONSTRAINT_VIOLATION: SqlState = SqlState::new("40002");

/// 40001 (error, Class 40 - Transaction Rollback).
pub const T_R_SERIALIZATION_FAILURE: SqlState = SqlState::new("40001");

/// 40003 (error, Class 40 - Transaction Rollback).
pub const T_R_STATEMENT_COMPLETION_UNKNOWN: SqlState = SqlState::new("40003");

/// 40P01 (error, Class 40 - Transaction Rollback).
pub const T_R_DEADLOCK_DETECTED: SqlState = SqlState::new("40P01");

/// 42000 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION: SqlState = SqlState::new("42000");

/// 42601 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const SYNTAX_ERROR: SqlState = SqlState::new("42601");

/// 42501 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INSUFFICIENT_PRIVILEGE: SqlState = SqlState::new("42501");

/// 42846 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const CANNOT_COERCE: SqlState = SqlState::new("42846");

/// 42803 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const GROUPING_ERROR: SqlState = SqlState::new("42803");

/// 42P20 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const WINDOWING_ERROR: SqlState = SqlState::new("42P20");

/// 42P19 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_RECURSION: SqlState = SqlState::new("42P19");

/// 42830 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_FOREIGN_KEY: SqlState = SqlState::new("42830");

/// 42602 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_NAME: SqlState = SqlState::new("42602");

/// 42622 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const NAME_TOO_LONG: SqlState = SqlState::new("42622");

/// 42939 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const RESERVED_NAME: SqlState = SqlState::new("42939");

/// 42804 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DATATYPE_MISMATCH: SqlState = SqlState::new("42804");

/// 42P18 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INDETERMINATE_DATATYPE: SqlState = SqlState::new("42P18");

/// 42P21 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const COLLATION_MISMATCH: SqlState = SqlState::new("42P21");

/// 42P22 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INDETERMINATE_COLLATION: SqlState = SqlState::new("42P22");

/// 42809 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const WRONG_OBJECT_TYPE: SqlState = SqlState::new("42809");

/// 428C9 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const GENERATED_ALWAYS: SqlState = SqlState::new("428C9");

/// 42703 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_COLUMN: SqlState = SqlState::new("42703");

/// 34000 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_CURSOR: SqlState = SqlState::new("34000");

/// 3D000 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_DATABASE: SqlState = SqlState::new("3D000");

/// 42883 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_FUNCTION: SqlState = SqlState::new("42883");

/// 26000 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_PSTATEMENT: SqlState = SqlState::new("26000");

/// 3F000 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_SCHEMA: SqlState = SqlState::new("3F000");

/// 42P01 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_TABLE: SqlState = SqlState::new("42P01");

/// 42P02 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_PARAMETER: SqlState = SqlState::new("42P02");

/// 42704 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const UNDEFINED_OBJECT: SqlState = SqlState::new("42704");

/// 42701 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_COLUMN: SqlState = SqlState::new("42701");

/// 42P03 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_CURSOR: SqlState = SqlState::new("42P03");

/// 42P04 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_DATABASE: SqlState = SqlState::new("42P04");

/// 42723 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_FUNCTION: SqlState = SqlState::new("42723");

/// 42P05 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_PSTATEMENT: SqlState = SqlState::new("42P05");

/// 42P06 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_SCHEMA: SqlState = SqlState::new("42P06");

/// 42P07 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_TABLE: SqlState = SqlState::new("42P07");

/// 42712 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_ALIAS: SqlState = SqlState::new("42712");

/// 42710 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const DUPLICATE_OBJECT: SqlState = SqlState::new("42710");

/// 42702 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const AMBIGUOUS_COLUMN: SqlState = SqlState::new("42702");

/// 42725 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const AMBIGUOUS_FUNCTION: SqlState = SqlState::new("42725");

/// 42P08 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const AMBIGUOUS_PARAMETER: SqlState = SqlState::new("42P08");

/// 42P09 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const AMBIGUOUS_ALIAS: SqlState = SqlState::new("42P09");

/// 42P10 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_COLUMN_REFERENCE: SqlState = SqlState::new("42P10");

/// 42611 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_COLUMN_DEFINITION: SqlState = SqlState::new("42611");

/// 42P11 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_CURSOR_DEFINITION: SqlState = SqlState::new("42P11");

/// 42P12 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_DATABASE_DEFINITION: SqlState = SqlState::new("42P12");

/// 42P13 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_FUNCTION_DEFINITION: SqlState = SqlState::new("42P13");

/// 42P14 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_PSTATEMENT_DEFINITION: SqlState = SqlState::new("42P14");

/// 42P15 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_SCHEMA_DEFINITION: SqlState = SqlState::new("42P15");

/// 42P16 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_TABLE_DEFINITION: SqlState = SqlState::new("42P16");

/// 42P17 (error, Class 42 - Syntax Error or Access Rule Violation).
pub const INVALID_OBJECT_DEFINITION: SqlState = SqlState::new("42P17");

/// 44000 (error, Class 44 - WITH CHECK OPTION Violation).
pub const WITH_CHECK_OPTION_VIOLATION: SqlState = SqlState::new("44000");

/// 53000 (error, Class 53 - Insufficient Resources).
pub const INSUFFICIENT_RESOURCES: SqlState = SqlState::new("53000");

/// 53100 (error, Class 53 - Insufficient Resources).
pub const DISK_FULL: SqlState = SqlState::new("53100");

/// 53200 (error, Class 53 - Insufficient Resources).
pub const OUT_OF_MEMORY: SqlState = SqlState::new("53200");

/// 53300 (error, Class 53 - Insufficient Resources).
pub const TOO_MANY_CONNECTIONS: SqlState = SqlState::new("53300");

/// 53400 (error, Class 53 - Insufficient Resources).
pub const CONFIGURATION_LIMIT_EXCEEDED: SqlState = SqlState::new("53400");

/// 54000 (error, Class 54 - Program Limit Exceeded).
pub const PROGRAM_LIMIT_EXCEEDED: SqlState = SqlState::new("54000");

/// 54001 (error, Class 54 - Program Limit Exceeded).
pub const STATEMENT_TOO_COMPLEX: SqlState = SqlState::new("54001");

/// 54011 (error, Class 54 - Program Limit Exceeded).
pub const TOO_MANY_COLUMNS: SqlState = SqlState::new("54011");

/// 54023 (error, Class 54 - Program Limit Exceeded).
pub const TOO_MANY_ARGUMENTS: SqlState = SqlState::new("54023");

/// 55000 (error, Class 55 - Object Not In Prerequisite State).
pub const OBJECT_NOT_IN_PREREQUISITE_STATE: SqlState = SqlState::new("55000");

/// 55006 (error, Class 55 - Object Not In Prerequisite State).
pub const OBJECT_IN_USE: SqlState = SqlState::new("55006");

/// 55P02 (error, Class 55 - Object Not In Prerequisite State).
pub const CANT_CHANGE_RUNTIME_PARAM: SqlState = SqlState::new("55P02");

/// 55P03 (error, Class 55 - Object Not In Prerequisite State).
pub const LOCK_NOT_AVAILABLE: SqlState = SqlState::new("55P03");

/// 55P04 (error, Class 55 - Object Not In Prerequisite State).
pub const UNSAFE_NEW_ENUM_VALUE_USAGE: SqlState = SqlState::new("55P04");

/// 57000 (error, Class 57 - Operator Intervention).
pub const OPERATOR_INTERVENTION: SqlState = SqlState::new("57000");

/// 57014 (error, Class 57 - Operator Intervention).
pub const QUERY_CANCELED: SqlState = SqlState::new("57014");

/// 57P01 (error, Class 57 - Operator Intervention).
pub const ADMIN_SHUTDOWN: SqlState = SqlState::new("57P01");

/// 57P02 (error, Class 57 - Operator Intervention).
pub const CRASH_SHUTDOWN: SqlState = SqlState::new("57P02");

/// 57P03 (error, Class 57 - Operator Intervention).
pub const CANNOT_CONNECT_NOW: SqlState = SqlState::new("57P03");

/// 57P04 (error, Class 57 - Operator Intervention).
pub const DATABASE_DROPPED: SqlState = SqlState::new("57P04");

/// 57P05 (error, Class 57 - Operator Intervention).
pub const IDLE_SESSION_TIMEOUT: SqlState = SqlState::new("57P05");

/// 58000 (error, Class 58 - System Error (errors external to PostgreSQL itself)).
pub const SYSTEM_ERROR: SqlState = SqlState::new("58000");

/// 58030 (error, Class 58 - System Error (errors external to PostgreSQL itself)).
pub const IO_ERROR: SqlState = SqlState::new("58030");

/// 58P01 (error, Class 58 - System Error (errors external to PostgreSQL itself)).
pub const UNDEFINED_FILE: SqlState = SqlState::new("58P01");

/// 58P02 (error, Class 58 - System Error (errors external to PostgreSQL itself)).
pub const DUPLICATE_FILE: SqlState = SqlState::new("58P02");

/// 72000 (error, Class 72 - Snapshot Failure).
pub const SNAPSHOT_TOO_OLD: SqlState = SqlState::new("72000");

/// F0000 (error, Class F0 - Configuration File Error).
pub const CONFIG_FILE_ERROR: SqlState = SqlState::new("F0000");

/// F0001 (error, Class F0 - Configuration File Error).
pub const LOCK_FILE_EXISTS: SqlState = SqlState::new("F0001");

/// HV000 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_ERROR: SqlState = SqlState::new("HV000");

/// HV005 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_COLUMN_NAME_NOT_FOUND: SqlState = SqlState::new("HV005");

/// HV002 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_DYNAMIC_PARAMETER_VALUE_NEEDED: SqlState = SqlState::new("HV002");

/// HV010 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_FUNCTION_SEQUENCE_ERROR: SqlState = SqlState::new("HV010");

/// HV021 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INCONSISTENT_DESCRIPTOR_INFORMATION: SqlState = SqlState::new("HV021");

/// HV024 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_ATTRIBUTE_VALUE: SqlState = SqlState::new("HV024");

/// HV007 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_COLUMN_NAME: SqlState = SqlState::new("HV007");

/// HV008 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_COLUMN_NUMBER: SqlState = SqlState::new("HV008");

/// HV004 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_DATA_TYPE: SqlState = SqlState::new("HV004");

/// HV006 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_DATA_TYPE_DESCRIPTORS: SqlState = SqlState::new("HV006");

/// HV091 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_DESCRIPTOR_FIELD_IDENTIFIER: SqlState = SqlState::new("HV091");

/// HV00B (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_HANDLE: SqlState = SqlState::new("HV00B");

/// HV00C (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_OPTION_INDEX: SqlState = SqlState::new("HV00C");

/// HV00D (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_OPTION_NAME: SqlState = SqlState::new("HV00D");

/// HV090 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_STRING_LENGTH_OR_BUFFER_LENGTH: SqlState = SqlState::new("HV090");

/// HV00A (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_STRING_FORMAT: SqlState = SqlState::new("HV00A");

/// HV009 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_INVALID_USE_OF_NULL_POINTER: SqlState = SqlState::new("HV009");

/// HV014 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_TOO_MANY_HANDLES: SqlState = SqlState::new("HV014");

/// HV001 (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_OUT_OF_MEMORY: SqlState = SqlState::new("HV001");

/// HV00P (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_NO_SCHEMAS: SqlState = SqlState::new("HV00P");

/// HV00J (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_OPTION_NAME_NOT_FOUND: SqlState = SqlState::new("HV00J");

/// HV00K (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_REPLY_HANDLE: SqlState = SqlState::new("HV00K");

/// HV00Q (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_SCHEMA_NOT_FOUND: SqlState = SqlState::new("HV00Q");

/// HV00R (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_TABLE_NOT_FOUND: SqlState = SqlState::new("HV00R");

/// HV00L (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_UNABLE_TO_CREATE_EXECUTION: SqlState = SqlState::new("HV00L");

/// HV00M (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_UNABLE_TO_CREATE_REPLY: SqlState = SqlState::new("HV00M");

/// HV00N (error, Class HV - Foreign Data Wrapper Error (SQL/MED)).
pub const FDW_UNABLE_TO_ESTABLISH_CONNECTION: SqlState = SqlState::new("HV00N");

/// P0000 (error, Class P0 - PL/pgSQL Error).
pub const PLPGSQL_ERROR: SqlState = SqlState::new("P0000");

/// P0001 (error, Class P0 - PL/pgSQL Error).
pub const RAISE_EXCEPTION: SqlState = SqlState::new("P0001");

/// P0002 (error, Class P0 - PL/pgSQL Error).
pub const NO_DATA_FOUND: SqlState = SqlState::new("P0002");

/// P0003 (error, Class P0 - PL/pgSQL Error).
pub const TOO_MANY_ROWS: SqlState = SqlState::new("P0003");

/// P0004 (error, Class P0 - PL/pgSQL Error).
pub const ASSERT_FAILURE: SqlState = SqlState::new("P0004");

/// XX000 (error, Class XX - Internal Error).
pub const INTERNAL_ERROR: SqlState = SqlState::new("XX000");

/// XX001 (error, Class XX - Internal Error).
pub const DATA_CORRUPTED: SqlState = SqlState::new("XX001");

/// XX002 (error, Class XX - Internal Error).
pub const INDEX_CORRUPTED: SqlState = SqlState::new("XX002");
