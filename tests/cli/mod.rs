mod bad_input;
mod segdata;
mod segeval;
mod segpredict;
mod segtrain;
mod support;
