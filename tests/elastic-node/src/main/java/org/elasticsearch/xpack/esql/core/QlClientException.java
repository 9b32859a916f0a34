package org.elasticsearch.xpack.esql.core;

/** Stands for the parent of the parser's errors, which is in an artifact that is not published. */
public class QlClientException extends RuntimeException {}
